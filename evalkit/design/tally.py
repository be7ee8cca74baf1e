"""How often each pair was issued and voted on, over all annotators."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np

from evalkit.design.plan import TrialPlan


class Tally(NamedTuple):
    """How often a pair was issued and voted on, as a main trial of one question.

    `open`: of those issued and not voted on, the ones whose annotator may still be looking.
    """

    issued: int = 0
    voted: int = 0
    open: int = 0


class Tallies:
    """The tally of each main pair for each question, kept as arrays; KeyError on unknown ids."""

    def __init__(self, places: Mapping[str, int], counts: Mapping[str, np.ndarray]) -> None:
        self._places = places
        self._counts = counts

    @classmethod
    def of(cls, plan: TrialPlan, known: Mapping[tuple[str, str], Tally] | None = None) -> Self:
        """The tallies `known` by (question_id, pair_id); zero for any other pair of the plan."""
        places = {pair_id: place for place, pair_id in enumerate(plan.main)}
        shape = (len(Tally._fields), len(plan.main))
        tallies = cls(places, {part.question_id: np.zeros(shape, dtype=int) for part in plan.parts})
        for (question_id, pair_id), tally in (known or {}).items():
            tallies.put(question_id, pair_id, *tally)
        return tallies

    def put(self, question_id: str, pair_id: str, issued: int, voted: int, open: int) -> None:
        """Set the tally of this pair for this question."""
        self._counts[question_id][:, self._places[pair_id]] = issued, voted, open

    def get(self, question_id: str, pair_id: str) -> Tally:
        """The tally of this pair for this question."""
        return Tally(*self._counts[question_id][:, self._places[pair_id]].tolist())

    def counts(self, question_id: str) -> np.ndarray:
        """Shape (3, main pairs): issued, voted, open, by the places of the plan; do not write."""
        return self._counts[question_id]
