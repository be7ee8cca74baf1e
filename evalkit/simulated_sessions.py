"""Simulated annotators sit through sessions: the store and the choice of trials are the real ones.

Every annotator made here is marked as simulated in the store, and so is all that rests on them.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.simulate import ATTENTION_GAP, Population, draw_tastes, vote
from evalkit.store import Store, Trial
from evalkit.study_folder import StudyFolder

_MAX_TRIALS = 10_000  # an annotator who is never done would be a fault of the design


def simulate_sessions(
    folder: StudyFolder,
    store: Store,
    utilities: Mapping[tuple[str, str], float],
    population: Population,
    seed: int,
    now: str,
    on_votes: Callable[[int], None] = lambda _: None,
) -> int:
    """Let simulated annotators vote until no pair needs a vote; the number of votes is returned.

    `utilities` maps (question_id, image_id) to a log-odds. `now` is the time of the first session;
    each annotator starts a second after the one before, so all times follow from it and the seed.
    After a stop, new annotators go on with what is missing. `on_votes` gets the number of votes
    after each annotator.
    """
    sides = _image_sides(folder)
    already = int(store.annotators()["simulated"].sum())
    votes = 0
    for number in range(1 + already, _MAX_TRIALS):
        rng = np.random.default_rng([seed, number])
        annotator_id = f"simulated-{number:03d}"
        store.add_annotator(annotator_id, rng.bytes(16).hex(), now, simulated=True)
        start = datetime.fromisoformat(now) + timedelta(seconds=number)
        cast = _sit(folder, store, annotator_id, start, sides, utilities, population, rng)
        if cast == 0:
            return votes
        votes += cast
        on_votes(votes)
    raise AssertionError("simulated annotators never finished the study")


def _sit(
    folder: StudyFolder,
    store: Store,
    annotator_id: str,
    start: datetime,
    sides: Mapping[str, dict[str, str]],
    utilities: Mapping[tuple[str, str], float],
    population: Population,
    rng: np.random.Generator,
) -> int:
    """One annotator's whole session; the number of votes cast."""
    clock = start
    session_id = f"{annotator_id}-session"
    tastes = draw_tastes(population, folder.study.model_names, rng)
    store.consent(annotator_id, _stamp(clock))
    store.start_session(session_id, annotator_id, _stamp(clock))
    for cast in range(_MAX_TRIALS):
        trial = store.next_trial(
            annotator_id, session_id, f"{annotator_id}-{cast:04d}", _stamp(clock),
            seed=int(rng.integers(2**31)),
        )  # fmt: skip
        if trial is None:
            return cast
        side = sides[trial.pair_id]
        values = {letter: _utility(trial, side, letter, utilities, tastes) for letter in ("a", "b")}
        right = "b" if trial.left == "a" else "a"
        offered = folder.study.question(trial.question_id).tie
        choice = vote(population, values[trial.left], values[right], rng, tie_offered=offered)
        clock += timedelta(milliseconds=choice.response_ms)
        store.record_vote(
            trial.trial_id,
            annotator_id,
            choice.choice,
            choice.response_ms,
            _stamp(clock),
            session_id=session_id,
        )
    raise AssertionError("a simulated annotator never finished")


def _utility(
    trial: Trial,
    side: Mapping[str, str],
    letter: str,
    utilities: Mapping[tuple[str, str], float],
    tastes: Mapping[str, float],
) -> float:
    if trial.kind in ("attention", "practice"):
        return ATTENTION_GAP * (side["expected"] == letter)
    image, model = side[f"image_{letter}"], side[f"model_{letter}"]
    return utilities[trial.question_id, image] + tastes[model]


def _image_sides(folder: StudyFolder) -> dict[str, dict[str, str]]:
    """What the simulation knows of each pair (images, models) and of each check (expected side)."""
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    checks = tables.read(folder.checks_file, tables.CHECKS)
    rows = pd.concat([pairs, checks]).set_index("pair_id")
    return rows.to_dict("index")


def _stamp(clock: datetime) -> str:
    return clock.isoformat(timespec="milliseconds")
