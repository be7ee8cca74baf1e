"""Simulated annotators sit through sessions: the store and the choice of trials are the real ones.

Every annotator made here is marked as simulated in the store, and so is all that rests on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.simulate import CHECK_GAP, Population, SimulatedAnnotator
from evalkit.store import Store, Trial
from evalkit.study_folder import StudyFolder

_MAX_TRIALS = 100_000  # an annotator who is never done would be a fault of the design

Utilities = Mapping[tuple[str, str], float]  # log-odds by question_id and image_id


def simulate_sessions(
    folder: StudyFolder,
    store: Store,
    utilities: Utilities,
    population: Population,
    seed: int,
    now: str,
    on_votes: Callable[[int], None] = lambda _: None,
    annotators: int | None = None,
) -> int:
    """Let simulated annotators vote until no pair needs a vote; the number of votes is returned.

    At most so many `annotators` sit, those of earlier calls included. `now` is the time of the
    first session; each annotator starts a second after the one before, so all times follow from it
    and the seed. Each sits in one transaction: after a stop, new annotators go on with what is
    missing, as if there had been none. `on_votes` gets the number of votes after each annotator.
    StoreError where people take part in the study.
    """
    room = _Room(folder, store, _image_sides(folder), utilities)
    votes, number = 0, int(store.annotators()["simulated"].sum())
    while (annotators is None or number < annotators) and _lacks_votes(store):
        number += 1
        start = datetime.fromisoformat(now) + timedelta(seconds=number)
        with store.together():
            cast = _sit(
                room, _annotator_id(number), make_annotator(folder, population, seed, number), start
            )
        if cast == 0:  # what is missing is on somebody's screen
            break
        votes += cast
        on_votes(votes)
    return votes


def make_annotator(
    folder: StudyFolder, population: Population, seed: int, number: int
) -> SimulatedAnnotator:
    """The simulated annotator of this number, from 1; the same for the same seed."""
    study = folder.study
    questions = [question.id for question in study.questions]
    rng = np.random.default_rng([seed, number])
    return SimulatedAnnotator(population, questions, study.model_names, rng)


def _annotator_id(number: int) -> str:
    return f"simulated-{number:03d}"


@dataclass(frozen=True)
class _Room:
    """Where annotators sit: the study, and what the simulation knows of its images and checks."""

    folder: StudyFolder
    store: Store
    sides: Mapping[str, dict[str, str]]
    utilities: Utilities

    def gap(self, trial: Trial, tastes: Mapping[tuple[str, str], float]) -> float:
        """How much better (log-odds) the left image is, to somebody of these tastes."""
        side = self.sides[trial.pair_id]
        right = "b" if trial.left == "a" else "a"
        if trial.kind in ("attention", "practice"):
            return CHECK_GAP if side["expected"] == trial.left else -CHECK_GAP
        values = {
            letter: self.utilities[trial.question_id, side[f"image_{letter}"]]
            + tastes[trial.question_id, side[f"model_{letter}"]]
            for letter in ("a", "b")
        }
        return values[trial.left] - values[right]


def _sit(room: _Room, annotator_id: str, annotator: SimulatedAnnotator, start: datetime) -> int:
    """One annotator's whole session; the number of votes cast."""
    store, study = room.store, room.folder.study
    clock, session_id = start, f"{annotator_id}-session"
    store.add_annotator(annotator_id, None, _stamp(clock), simulated=True)
    store.consent(annotator_id, _stamp(clock))
    store.start_session(session_id, annotator_id, _stamp(clock))
    offered = {question.id: question.choices for question in study.questions}
    for cast in range(_MAX_TRIALS):
        trial = store.next_trial(
            annotator_id, session_id, f"{annotator_id}-{cast:04d}", _stamp(clock),
            seed=int(annotator.rng.integers(2**31)),
        )  # fmt: skip
        if trial is None:
            return cast
        vote = annotator.vote(
            room.gap(trial, annotator.tastes),
            offered[trial.question_id],
            study.design.min_viewing_ms,
        )
        clock += timedelta(milliseconds=vote.response_ms)
        store.record_vote(
            trial.trial_id, annotator_id, vote.choice, vote.response_ms, _stamp(clock),
            session_id=session_id,
        )  # fmt: skip
    raise AssertionError("a simulated annotator never finished")


def _lacks_votes(store: Store) -> bool:
    pairs = store.pair_votes()
    return bool((pairs["voted"] < pairs["wanted"]).any())


def _image_sides(folder: StudyFolder) -> dict[str, dict[str, str]]:
    """What the simulation knows of each pair (images, models) and of each check (expected side)."""
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    checks = tables.read(folder.checks_file, tables.CHECKS)
    rows = pd.concat([pairs, checks]).set_index("pair_id")
    return rows.to_dict("index")


def _stamp(clock: datetime) -> str:
    return clock.isoformat(timespec="milliseconds")
