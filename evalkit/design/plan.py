"""The plan that trials are chosen from: parts, pairs and checks, without the names of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from evalkit.design.parts import block_length, composition, question_parts
from evalkit.study_sections import Design, Question


@dataclass(frozen=True)
class Showing:
    """A pair as it is shown for one question; `left` ("a" or "b") is the image on the left.

    `kind` is one of `tables.TRIAL_KINDS`, or "returned": a main trial that was given back without a
    vote. It counts for nothing, but its pair is not shown to this annotator again.
    """

    question_id: str
    pair_id: str
    left: str
    kind: str


@dataclass(frozen=True)
class PlannedPair:
    """What the choice of trials may know of a pair; `matchup` is an opaque code of two models.

    `expected` is the right image of a check, "" where the pair is none.
    """

    pair_id: str
    role: str
    matchup: str
    prompt_id: str
    foil_prompt_id: str
    expected: str


@dataclass(frozen=True)
class Part:
    """The trials of one question, which an annotator sees without another question between.

    `length` bounds the trials that count; they stand in blocks of `block_length`. `attention` and
    `practice` are pair_ids; all of `practice` is shown, before the rest.
    """

    question_id: str
    length: int
    block_length: int
    attention: tuple[str, ...]
    practice: tuple[str, ...]


@dataclass(frozen=True)
class TrialPlan:
    """All that the next trial is chosen from; `pairs` holds pairs and checks by pair_id.

    The arrays speak of pairs by their place: main pairs first (0 to len(main) - 1), then checks.
    """

    parts: tuple[Part, ...]
    pairs: Mapping[str, PlannedPair]
    design: Design

    @cached_property
    def main(self) -> tuple[str, ...]:
        """The pair_ids that are no checks."""
        return tuple(pair_id for pair_id, pair in self.pairs.items() if pair.role == "main")

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The pair_ids by place."""
        checks = (pair_id for pair_id, pair in self.pairs.items() if pair.role != "main")
        return (*self.main, *checks)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each pair_id."""
        return {pair_id: place for place, pair_id in enumerate(self.ids)}

    @cached_property
    def prompts(self) -> np.ndarray:
        """Shape (pairs, 2): numbers of the prompts that the two images were made from."""
        planned = [self.pairs[pair_id] for pair_id in self.ids]
        texts = [(pair.prompt_id, pair.foil_prompt_id) for pair in planned]
        return _numbered(np.array(texts, dtype=object).reshape(-1, 2))

    @cached_property
    def matchups(self) -> tuple[str, ...]:
        """The matchup codes of the main pairs, in order."""
        return tuple(sorted({self.pairs[pair_id].matchup for pair_id in self.main}))

    @cached_property
    def matchup_numbers(self) -> np.ndarray:
        """Shape (main pairs,): the place of each pair's code in `matchups`."""
        numbers = {matchup: number for number, matchup in enumerate(self.matchups)}
        return np.array([numbers[self.pairs[pair_id].matchup] for pair_id in self.main], dtype=int)


def trial_plan(pairs: pd.DataFrame, questions: Sequence[Question], design: Design) -> TrialPlan:
    """The plan from blinded pairs (`tables.BLINDED_PAIRS`), where a check names its question.

    Where a study has too few images for its practice trials, the parts hold fewer of them.
    """
    shown = pairs[pairs["role"] != "example"]
    planned = {
        row.pair_id: PlannedPair(
            pair_id=row.pair_id,
            role=row.role,
            matchup=row.matchup,
            prompt_id=row.prompt_id,
            foil_prompt_id=row.foil_prompt_id,
            expected=row.expected,
        )
        for row in shown.fillna({"expected": ""}).itertuples()
    }
    n_main = int((shown["role"] == "main").sum())
    parts = []
    for question, length in question_parts(questions, design):
        own = shown[shown["question_id"] == question.id]
        attention = tuple(own.loc[own["role"] == "attention", "pair_id"])
        practice = tuple(own.loc[own["role"] == "practice", "pair_id"])
        n_trials = sum(composition(design, length, n_main, len(attention)))
        parts.append(Part(question.id, length, block_length(design, n_trials), attention, practice))
    return TrialPlan(tuple(parts), planned, design)


def _numbered(texts: np.ndarray) -> np.ndarray:
    return np.unique(texts, return_inverse=True)[1].reshape(texts.shape)
