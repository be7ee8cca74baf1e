"""Which image of a pair lies left: balanced per annotator, question and matchup."""

from collections.abc import Sequence

import numpy as np

from evalkit.design.plan import PlannedPair, Showing, TrialPlan

_OTHER = {"a": "b", "b": "a"}


def choose_side(
    plan: TrialPlan,
    seen: Sequence[Showing],
    question_id: str,
    kind: str,
    pair_id: str,
    rng: np.random.Generator,
) -> str:
    """The image ("a" or "b") to lie left.

    A repeat swaps the sides of the first showing. Otherwise that image lies left which did so less
    often among the annotator's trials of this kind and matchup: within the question first, then
    over all questions, so that both stay within one; at random where both are even. Of checks the
    balanced image is the right one: who presses one side always fails half of them.

    A trial that was given back counts for nothing here, though later ones may have been balanced
    against it while it was open: then the sides of its matchup differ by one more, until the next.
    """
    if kind == "repeat":
        first = next(s for s in seen if (s.question_id, s.pair_id) == (question_id, pair_id))
        return _OTHER[first.left]
    pair = plan.pairs[pair_id]
    alike = [s for s in seen if s.kind == kind and plan.pairs[s.pair_id].matchup == pair.matchup]
    for among in ([s for s in alike if s.question_id == question_id], alike):
        surplus = sum(1 if s.left == _balanced(plan.pairs[s.pair_id]) else -1 for s in among)
        if surplus:
            balanced = _balanced(pair)
            return balanced if surplus < 0 else _OTHER[balanced]
    return "ab"[rng.integers(2)]


def _balanced(pair: PlannedPair) -> str:
    return pair.expected or "a"
