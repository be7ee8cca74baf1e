"""Which trial an annotator gets next (pure, seeded)."""

from collections.abc import Mapping, Sequence

import numpy as np

from evalkit.design.plan import Part, Showing, TrialPlan
from evalkit.design.policy import Results, choose_pair
from evalkit.design.remaining import (
    current_part,
    fresh_pairs,
    fresh_practice,
    missing_trials,
    repeatable_pairs,
    shown_in,
)
from evalkit.design.sides import choose_side
from evalkit.design.tally import Tallies


def choose_trial(
    plan: TrialPlan,
    seen: Sequence[Showing],
    tallies: Tallies,
    seed: int,
    results: Results | None = None,
) -> Showing | None:
    """The annotator's next trial, or None when nothing is left for them.

    `seen` are the annotator's trials in order, open and returned ones too; `tallies` count the main
    trials of all annotators; `results` (for the policy `adaptive`) their votes (a, b, ties) by
    (question_id, matchup), none where it is None.

    Each part begins with its practice. Then each pair is shown once, by the policy of the design
    (`policy.choose_pair`), and only while its votes and open trials are fewer than the votes
    wanted; where that leaves no pair, one that still lacks votes is issued once more, so that it is
    not lost if others leave their open trials: at most one vote too many. Checks and repeats fall
    at random places in the shares of the design; a repeat comes at least `MIN_REPEAT_GAP` trials
    after its first showing, sides swapped. No prompt is shown twice in a row where another choice
    exists. Sides are balanced to within one per annotator and matchup, over each question and over
    all.
    """
    rng = np.random.default_rng(seed)
    for part in plan.parts[current_part(plan, seen) :]:
        chosen = _next_in_part(plan, part, seen, tallies, results or {}, rng)
        if chosen is not None:
            kind, pair_id = chosen
            left = choose_side(plan, seen, part.question_id, kind, pair_id, rng)
            return Showing(part.question_id, pair_id, left, kind)
    return None


def _next_in_part(
    plan: TrialPlan,
    part: Part,
    seen: Sequence[Showing],
    tallies: Tallies,
    results: Results,
    rng: np.random.Generator,
) -> tuple[str, str] | None:
    """Kind and pair_id of the next trial, None where the part has none left."""
    done = shown_in(part, seen)
    fresh = fresh_pairs(plan, part, seen, tallies)
    missing = missing_trials(plan, part, done, len(fresh))
    if sum(missing.values()) <= 0:
        return None
    practice = fresh_practice(part, done)
    shown = {showing.pair_id for showing in done}
    candidates = {
        "practice": _places(plan, practice),
        "main": fresh,
        "attention": _places(plan, [i for i in part.attention if i not in shown]),
        "repeat": _places(plan, repeatable_pairs(done)),
    }
    wanted = {"practice": len(practice)} if practice else missing
    order = _drawn_order({k: n for k, n in wanted.items() if n > 0 and len(candidates[k])}, rng)
    # Where only repeats are missing and none is old enough yet, a main trial takes their place.
    kind, places = _without_the_last_prompt(plan, order or ["main"], candidates, seen)
    if kind == "main":
        counts = tallies.counts(part.question_id)
        return kind, plan.ids[choose_pair(plan, part.question_id, places, counts, results, rng)]
    return kind, plan.ids[rng.choice(places)]


def _places(plan: TrialPlan, pair_ids: Sequence[str]) -> np.ndarray:
    return np.array([plan.places[pair_id] for pair_id in pair_ids], dtype=int)


def _drawn_order(weights: Mapping[str, int], rng: np.random.Generator) -> list[str]:
    """The kinds in random order, those with more weight sooner."""
    if len(weights) < 2:
        return list(weights)
    shares = np.array(list(weights.values())) / sum(weights.values())
    return [str(kind) for kind in rng.choice(list(weights), len(weights), replace=False, p=shares)]


def _without_the_last_prompt(
    plan: TrialPlan,
    order: Sequence[str],
    candidates: Mapping[str, np.ndarray],
    seen: Sequence[Showing],
) -> tuple[str, np.ndarray]:
    """The first kind that has pairs without the last trial's prompts, and these pairs.

    Where no kind has any: the first kind and all its pairs.
    """
    if seen:
        before = plan.prompts[plan.places[seen[-1].pair_id]]
        for kind in order:
            prompts = plan.prompts[candidates[kind]]
            away = candidates[kind][(prompts[:, :, None] != before).all(axis=(1, 2))]
            if len(away):
                return kind, away
    return order[0], candidates[order[0]]
