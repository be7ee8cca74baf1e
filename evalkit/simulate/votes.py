"""Whole tables of simulated votes at once, without a store: for studies by the thousand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.errors import EvalkitError
from evalkit.simulate.choices import (
    LEFT,
    TIE,
    Way,
    draw_choices,
    draw_different,
    draw_effects,
    draw_ways,
)
from evalkit.simulate.population import Population, expected_share
from evalkit.simulate.times import response_times

_START = np.datetime64("2030-01-01T00:00:00.000")
_APART = np.timedelta64(1, "s")  # from vote to vote


@dataclass(frozen=True)
class SimulatedShares:
    """Many studies of one pair of models, in numbers; `share` is the true win rate of the first.

    `points` (studies, n) are what the first model got of each vote (1, 0.5 or 0); `first_left`
    (studies, n) says whether its image lay left; `annotator` (studies, n) and `prompt` (n) are
    codes from 0. The votes on a prompt stand side by side: n = prompts x votes per prompt.
    """

    points: np.ndarray
    prompt: np.ndarray
    annotator: np.ndarray
    first_left: np.ndarray
    share: float


def simulate_shares(
    gap: float,
    *,
    n_prompts: int,
    votes_per_prompt: int,
    n_annotators: int,
    studies: int,
    seed: int,
    prompt_sd: float = 0,
    annotator_sd: float = 0,
    tie_weight: float = 0,
    left_bias: float = 0,
    careless_share: float = 0,
) -> SimulatedShares:
    """`studies` studies of two models whose strengths lie `gap` apart (log-odds).

    Each prompt gets its votes from different annotators, drawn for each prompt anew. For a wanted
    win rate, `gap_of(share, Population(...))` gives the gap. EvalkitError where there are fewer
    annotators than votes per prompt, or a value is out of its range (see `Population`).
    """
    people = Population(prompt_sd, annotator_sd, tie_weight, left_bias, careless_share)
    _check_sizes(n_prompts, votes_per_prompt, n_annotators)
    rng = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(n_prompts), votes_per_prompt)
    seats = draw_different(rng, (studies, n_prompts), votes_per_prompt, n_annotators)
    annotator = seats.reshape(studies, -1)
    likes = prompt_sd * rng.standard_normal((studies, n_prompts))[:, prompt]
    tastes = annotator_sd * rng.standard_normal((studies, n_annotators))
    gaps = gap + likes + np.take_along_axis(tastes, annotator, axis=1)
    first_left = rng.random(gaps.shape) < 0.5
    all_look = np.full(gaps.shape, Way.LOOKS)
    turned = np.where(first_left, gaps, -gaps)
    choice = draw_choices(rng, turned, way=all_look, line=all_look, population=people)
    points = np.where(choice == TIE, 0.5, (choice == LEFT) == first_left)
    return SimulatedShares(points, prompt, annotator, first_left, expected_share(gap, people))


def simulate_comparisons(
    strengths: Mapping[str, float],
    *,
    n_prompts: int,
    votes_per_prompt: int,
    n_annotators: int,
    seed: int,
    prompt_sd: float = 0,
    annotator_sd: float = 0,
    tie_weight: float = 0,
    left_bias: float = 0,
    careless_share: float = 0,
    straight_lining_share: float = 0,
    speeding_share: float = 0,
    questions: Sequence[str] = ("quality",),
) -> pd.DataFrame:
    """The comparisons (`tables.COMPARISONS`, each labelled SIMULATED VOTES) of one study.

    `strengths` are log-odds by model, the same for each question. Each question, pair of models and
    prompt gets `votes_per_prompt` votes by different annotators, drawn for each anew; rows stand in
    that order. No question or no prompt gives no rows. EvalkitError on fewer than two models, fewer
    annotators than votes per prompt, or a value out of its range (see `Population`).
    """
    people = Population(
        prompt_sd, annotator_sd, tie_weight, left_bias, careless_share, straight_lining_share,
        speeding_share,
    )  # fmt: skip
    _check_sizes(n_prompts, votes_per_prompt, n_annotators)
    models = sorted(strengths)
    if len(models) < 2:
        raise EvalkitError(
            f"simulate: strengths of {len(models)} model; a comparison needs two; name another"
        )
    rng = np.random.default_rng(seed)
    pairs = np.array(list(combinations(range(len(models)), 2)))
    cells = (len(questions), len(pairs), n_prompts)
    annotator = draw_different(rng, cells, votes_per_prompt, n_annotators)
    question, pair, prompt, _ = (index.ravel() for index in np.indices(annotator.shape))
    annotator = annotator.ravel()
    a, b = pairs[pair].T
    strength = np.array([strengths[model] for model in models], dtype=float)
    likes = draw_effects(rng, prompt_sd, (len(questions), n_prompts, len(models)))
    tastes = draw_effects(rng, annotator_sd, (len(questions), n_annotators, len(models)))
    utility_a, utility_b = (
        strength[model] + likes[question, prompt, model] + tastes[question, annotator, model]
        for model in (a, b)
    )
    a_left = rng.random(len(a)) < 0.5
    way, line = draw_ways(rng, n_annotators, people)
    turned = np.where(a_left, utility_a - utility_b, utility_b - utility_a)
    choice = draw_choices(rng, turned, way[annotator], line[annotator], people)
    names = [f"{n + 1:04d}" for n in range(n_annotators)]
    columns = {
        "annotator_id": _named(annotator, [f"simulated-{name}" for name in names]),
        "session_id": _named(annotator, [f"session-{name}" for name in names]),
        "question_id": _named(question, questions),
        "prompt_id": _named(prompt, [f"prompt-{n + 1:05d}" for n in range(n_prompts)]),
        "model_a": _named(a, models),
        "model_b": _named(b, models),
        "winner": _named(np.where(choice == TIE, 2, (choice == LEFT) != a_left), tables.WINNERS),
        "left_model": _named(np.where(a_left, a, b), models),
        "response_ms": response_times(rng, way[annotator] == Way.SPEEDS, people),
    }
    return _frame(columns)


def _check_sizes(n_prompts: int, votes_per_prompt: int, n_annotators: int) -> None:
    least = {"n_prompts": (n_prompts, 0), "votes_per_prompt": (votes_per_prompt, 1)}
    for name, (found, smallest) in least.items():
        if found < smallest:
            raise EvalkitError(f"simulate: {name} = {found}; allowed is {smallest} or more")
    if n_annotators < votes_per_prompt:
        raise EvalkitError(
            f"simulate: n_annotators = {n_annotators}, and each prompt needs votes of "
            f"{votes_per_prompt} different ones; allowed is that number or more; raise it"
        )


def _named(codes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return np.array(names, dtype=object)[codes]


def _frame(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The votes in the columns of `tables.COMPARISONS`, with what is alike in all of them."""
    n = len(columns["winner"])
    stamps = np.datetime_as_string(_START + np.arange(n) * _APART, unit="ms")
    frame = pd.DataFrame(columns).assign(
        trial_id=np.char.mod("t%09d", np.arange(n)).astype(object),
        category="",
        challenge="",
        kind="main",
        created_at=np.char.add(stamps, "+00:00").astype(object),
        vote_source=tables.SIMULATED,
    )
    return frame[[name for name in tables.COMPARISONS.names if name in frame.columns]]
