"""What one annotator's part still lacks: pairs that may be shown, trials of each kind."""

from collections.abc import Mapping, Sequence

import numpy as np

from evalkit.design.parts import MIN_REPEAT_GAP, Composition, composition
from evalkit.design.plan import Part, Showing, TrialPlan
from evalkit.design.tally import Tallies


def current_part(plan: TrialPlan, seen: Sequence[Showing]) -> int:
    """The number (from 0) of the furthest part that the annotator has come to."""
    numbers = {part.question_id: number for number, part in enumerate(plan.parts)}
    return max((numbers[showing.question_id] for showing in seen), default=0)


def shown_in(part: Part, seen: Sequence[Showing]) -> list[Showing]:
    """Those of the trials that belong to the part and were not given back."""
    return [s for s in seen if s.question_id == part.question_id and s.kind != "returned"]


def fresh_pairs(
    plan: TrialPlan, part: Part, seen: Sequence[Showing], tallies: Tallies
) -> np.ndarray:
    """Places of the main pairs that may be shown now, in this part, to one who was shown `seen`.

    Those whose votes and open trials are fewer than the votes wanted; where there is none, those
    that lack votes and have just as many open trials as they lack: one may be left open.
    """
    _, voted, opened = tallies.counts(part.question_id)
    wanted = plan.design.votes_per_pair
    lacking = _lacking(plan, part, seen, tallies)
    given = voted + opened
    free = np.flatnonzero(lacking & (given < wanted))
    return free if len(free) else np.flatnonzero(lacking & (given == wanted))


def may_come(plan: TrialPlan, seen: Sequence[Showing], tallies: Tallies) -> bool:
    """Whether one who was shown `seen` gets more trials once others leave theirs unanswered.

    No part comes again once a later one has begun.
    """
    for part in plan.parts[current_part(plan, seen) :]:
        n_lacking = int(_lacking(plan, part, seen, tallies).sum())
        missing = missing_trials(plan, part, shown_in(part, seen), n_lacking)
        if n_lacking and sum(missing.values()) > 0:
            return True
    return False


def _lacking(plan: TrialPlan, part: Part, seen: Sequence[Showing], tallies: Tallies) -> np.ndarray:
    """Shape (main pairs,): whether a pair lacks votes and was not shown for the question."""
    lacking = tallies.counts(part.question_id)[1] < plan.design.votes_per_pair
    known = [s.pair_id for s in seen if s.question_id == part.question_id]
    lacking[[plan.places[i] for i in known if plan.pairs[i].role == "main"]] = False
    return lacking


def fresh_practice(part: Part, done: Sequence[Showing]) -> list[str]:
    """The practice pairs that are to be shown now: none once the part has begun."""
    if any(showing.kind != "practice" for showing in done):
        return []
    shown = {showing.pair_id for showing in done}
    return [pair_id for pair_id in part.practice if pair_id not in shown]


def repeatable_pairs(done: Sequence[Showing]) -> list[str]:
    """The pairs shown at least `MIN_REPEAT_GAP` trials ago and not repeated yet."""
    repeated = {showing.pair_id for showing in done if showing.kind == "repeat"}
    old_enough = done[: max(0, len(done) - MIN_REPEAT_GAP + 1)]
    return [s.pair_id for s in old_enough if s.kind == "main" and s.pair_id not in repeated]


def missing_trials(
    plan: TrialPlan, part: Part, done: Sequence[Showing], n_fresh: int
) -> Mapping[str, int]:
    """How many trials of each kind but practice the part lacks, with `n_fresh` pairs to be had.

    Main trials may be negative: one too many took the place of a repeat without room.
    """
    shown = {kind: sum(showing.kind == kind for showing in done) for kind in Composition._fields}
    planned = composition(plan.design, part.length, shown["main"] + n_fresh, len(part.attention))
    missing = {kind: n - shown[kind] for kind, n in planned._asdict().items()}
    # Pairs that others completed make the part shorter: checks and repeats shown before count for
    # no main trial.
    missing["attention"] = max(0, missing["attention"])
    missing["repeat"] = max(0, missing["repeat"])
    if not n_fresh and not missing["attention"] and not repeatable_pairs(done):
        missing["repeat"] = 0  # no trial is left to stand between a showing and its repeat
    return missing
