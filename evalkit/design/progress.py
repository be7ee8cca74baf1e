"""How far an annotator has come, and how much is left."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from evalkit.design.plan import Showing, TrialPlan
from evalkit.design.remaining import current_part, fresh_pairs, missing_trials, shown_in
from evalkit.design.tally import Tallies


@dataclass(frozen=True)
class Progress:
    """Where an annotator stands; parts and blocks count from 1, blocks within the part.

    A part is all trials of one question. `done` of `total` trials over all parts are answered,
    `block_done` of `block_total` in the block. Practice trials count nowhere. Totals are what can
    be said now: they fall when others complete the pairs.
    """

    part: int
    parts: int
    block: int
    blocks: int
    done: int
    total: int
    block_done: int
    block_total: int


def progress(
    plan: TrialPlan, seen: Sequence[Showing], voted: Collection[int], tallies: Tallies
) -> Progress:
    """The progress of one who was shown `seen` (in order, open and returned trials too).

    `voted` are the places in `seen`, from 0, of the trials that are answered. Part and block are
    those of the next trial to answer: a block that is done gives way to the next at once; at the
    end it is the last one, all done.
    """
    current = current_part(plan, seen)
    answered = [showing for place, showing in enumerate(seen) if place in voted]
    waiting = [s for place, s in enumerate(seen) if place not in voted and s.kind != "returned"]
    totals = [_total(plan, number, seen, tallies) for number in range(len(plan.parts))]
    done = [len(_counted(shown_in(part, answered))) for part in plan.parts]
    if waiting:
        at = current_part(plan, waiting[:1])
    else:
        unfinished = (n for n in range(current, len(totals)) if done[n] < totals[n])
        at = next(unfinished, current)
    size = plan.parts[at].block_length
    blocks = max(1, -(-totals[at] // size))
    block = min(done[at] // size, blocks - 1)
    return Progress(
        part=at + 1,
        parts=len(plan.parts),
        block=block + 1,
        blocks=blocks,
        done=sum(done),
        total=sum(totals),
        block_done=done[at] - block * size,
        block_total=min(size, totals[at] - block * size),
    )


def _total(plan: TrialPlan, number: int, seen: Sequence[Showing], tallies: Tallies) -> int:
    """The trials that count which the annotator will have had of the part at the end."""
    part = plan.parts[number]
    shown = shown_in(part, seen)
    if number < current_part(plan, seen):
        return len(_counted(shown))
    missing = missing_trials(plan, part, shown, len(fresh_pairs(plan, part, seen, tallies)))
    return len(_counted(shown)) + max(0, sum(missing.values()))


def _counted(showings: Sequence[Showing]) -> list[Showing]:
    return [showing for showing in showings if showing.kind != "practice"]
