"""Images -> pairs and checks; which trial comes next: balance, sides, repeats (pure, seeded)."""

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.study import Study
from evalkit.study_sections import Design, Question

MIN_REPEAT_GAP = 10  # trials from a showing to its repeat
_SPARE_CHECKS = 2  # checks planned for each one an annotator meets, so that they differ


@dataclass(frozen=True)
class Showing:
    """A pair as it is shown for one question; `left` ("a" or "b") is the image on the left."""

    question_id: str
    pair_id: str
    left: str
    kind: str


@dataclass(frozen=True)
class PlannedPair:
    """What the choice of trials may know of a pair; `matchup` is an opaque code of two models."""

    pair_id: str
    matchup: str
    prompt_ids: frozenset[str]


@dataclass(frozen=True)
class Block:
    """The trials of one question, which an annotator sees without another question between."""

    question_id: str
    length: int
    checks: tuple[str, ...]


class Tally(NamedTuple):
    """How often a pair was issued and voted on, as a main trial of one question.

    `open`: of those issued and not voted on, the ones whose annotator may still be looking.
    """

    issued: int = 0
    voted: int = 0
    open: int = 0


class Composition(NamedTuple):
    """How many trials of each kind make a block."""

    main: int
    attention: int
    repeat: int


@dataclass(frozen=True)
class TrialPlan:
    """All that the next trial is chosen from; `pairs` holds pairs and checks by pair_id."""

    blocks: tuple[Block, ...]
    pairs: Mapping[str, PlannedPair]
    design: Design

    @cached_property
    def main(self) -> tuple[str, ...]:
        """The pair_ids that are no checks."""
        checks = {pair_id for block in self.blocks for pair_id in block.checks}
        return tuple(pair_id for pair_id in self.pairs if pair_id not in checks)


def matchups(study: Study) -> list[tuple[str, str]]:
    """The pairs of models that the study compares, each sorted by name, in order of names."""
    if study.design.pairs == "all":
        return list(itertools.combinations(sorted(study.model_names), 2))
    return sorted((min(pair), max(pair)) for pair in study.design.pairs)


def plan_pairs(images: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Pairs (`tables.PAIRS`): two images of one prompt and seed, by two models of the study.

    Images that are not ok make no pair. Without images: an empty table.
    """
    usable = _usable(images, study)
    sides = {name: usable[usable["model"] == name] for name in study.model_names}
    parts = [
        sides[a].merge(sides[b], on=["prompt_id", "seed"], suffixes=("_a", "_b"))
        for a, b in matchups(study)
    ]
    pairs = pd.concat(parts, ignore_index=True).rename(
        columns={"image_id_a": "image_a", "image_id_b": "image_b"}
    )
    if pairs.empty:
        return tables.PAIRS.empty()
    pairs["pair_id"] = [
        short_hash(a, b) for a, b in zip(pairs["image_a"], pairs["image_b"], strict=True)
    ]
    pairs = pairs.sort_values(["prompt_id", "seed", "model_a", "model_b"], ignore_index=True)
    return tables.check(pairs, tables.PAIRS, "pairs")


def plan_checks(images: pd.DataFrame, prompts: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Attention checks (`tables.CHECKS`): two images of which one is plainly the right choice.

    A question that shows the prompt gets an image of the prompt beside one by the same model for
    the prompt that shares the fewest words with it (foil `other_prompt`); any other question gets
    an image beside a grossly pixelated copy of itself (foil `pixelated`; image_a = image_b).
    `expected` is the right image, at random a or b. Without images, or where the attention share
    is 0: an empty table.
    """
    rng = np.random.default_rng(study.seed)
    usable = _usable(images, study)
    words = {
        row.prompt_id: frozenset(re.findall(r"\w+", row.prompt.lower()))
        for row in prompts.itertuples()
    }
    rows = []
    for question, length in question_blocks(study.questions, study.design):
        wanted = _SPARE_CHECKS * study.design.attention_trials(length)
        order = usable.iloc[rng.permutation(len(usable))]
        order = order.iloc[order.groupby("prompt_id").cumcount().argsort(kind="stable")]
        for image in order.head(wanted).itertuples():
            foil = _foil(image, usable, words, rng) if question.show_prompt else image
            if foil is not None:
                rows.append(_check_row(question, image, foil, rng))
    return tables.check(pd.DataFrame(rows), tables.CHECKS, "checks") if rows else _no_checks()


def question_blocks(questions: Sequence[Question], design: Design) -> list[tuple[Question, int]]:
    """The questions in the order of their blocks, each with its number of trials per annotator.

    Questions that do not show the prompt come first, so that no prompt is known when they are
    answered; within that, the order of the study file. The trials are split evenly, a remainder
    goes to the first blocks.
    """
    ordered = sorted(questions, key=lambda question: question.show_prompt)
    each, rest = divmod(design.trials_per_annotator, len(ordered))
    return [(question, each + (place < rest)) for place, question in enumerate(ordered)]


def trial_plan(pairs: pd.DataFrame, questions: Sequence[Question], design: Design) -> TrialPlan:
    """The plan from blinded pairs (`tables.BLINDED_PAIRS`), where a check names its question."""
    planned = {
        row.pair_id: PlannedPair(
            row.pair_id, row.matchup, frozenset({row.prompt_id, row.foil_prompt_id})
        )
        for row in pairs.itertuples()
    }
    blocks = tuple(
        Block(question.id, length, tuple(pairs.loc[pairs["question_id"] == question.id, "pair_id"]))
        for question, length in question_blocks(questions, design)
    )
    return TrialPlan(blocks, planned, design)


def composition(design: Design, length: int, n_pairs: int, n_checks: int) -> Composition:
    """How many main, attention and repeat trials make a block of at most `length` trials.

    `n_pairs` bounds the main trials and `n_checks` the attention checks; with fewer pairs than the
    length needs the block is shorter, its shares kept. No pairs: no trials. A block of no more than
    `MIN_REPEAT_GAP` trials has no repeats.
    """
    if n_pairs == 0:
        return Composition(0, 0, 0)
    for n in range(length, 0, -1):
        attention = min(design.attention_trials(n), n_checks)
        repeat = min(design.repeat_trials(n), (n - attention) // 2, max(0, n - MIN_REPEAT_GAP))
        if n - attention - repeat <= n_pairs:
            return Composition(n - attention - repeat, attention, repeat)
    return Composition(0, 0, 0)


def choose_trial(
    plan: TrialPlan,
    seen: Sequence[Showing],
    tallies: Mapping[tuple[str, str], Tally],
    seed: int,
) -> Showing | None:
    """The annotator's next trial, or None when nothing is left for them.

    `seen` are the annotator's trials in order, `tallies` the main trials of all annotators by
    (question_id, pair_id). Within a block each pair is shown once, those issued least first, at
    random among equals, and only while its votes and open trials are fewer than the votes wanted;
    where that leaves no pair, one that still lacks votes is issued once more, so that it is not
    lost if others leave their open trials: at most one vote too many. Checks and repeats fall at
    random places in the shares of the design; a repeat comes at least `MIN_REPEAT_GAP` trials after
    its first showing, sides swapped. No prompt is shown twice in a row where another choice exists.
    Sides are balanced to within one per annotator and matchup, over each question and over all.
    """
    rng = np.random.default_rng(seed)
    for block in plan.blocks[_current_block(plan, seen) :]:
        kind, pair_id = _next_in_block(plan, block, seen, tallies, rng)
        if pair_id is not None:
            left = _side(plan, block, seen, kind, pair_id, rng)
            return Showing(block.question_id, pair_id, left, kind)
    return None


def planned_length(
    plan: TrialPlan, seen: Sequence[Showing], tallies: Mapping[tuple[str, str], Tally]
) -> int:
    """How many trials the annotator will have had at the end, as far as can be said now."""
    current = _current_block(plan, seen)
    total = 0
    for place, block in enumerate(plan.blocks):
        done = [showing for showing in seen if showing.question_id == block.question_id]
        missing = _missing(plan, block, done, tallies) if place >= current else {}
        total += len(done) + max(0, sum(missing.values()))
    return total


def short_hash(*parts: str) -> str:
    """16 hex digits that name these parts in this order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _usable(images: pd.DataFrame, study: Study) -> pd.DataFrame:
    wanted = (
        (images["status"] == "ok")
        & images["model"].isin(study.model_names)
        & images["seed"].isin(study.images.seeds)
    )
    return images.loc[wanted, ["image_id", "prompt_id", "model", "seed"]].reset_index(drop=True)


def _no_checks() -> pd.DataFrame:
    return tables.CHECKS.empty()


def _foil(
    image: tuple,
    usable: pd.DataFrame,
    words: Mapping[str, frozenset[str]],
    rng: np.random.Generator,
) -> tuple | None:
    others = usable[
        (usable["model"] == image.model)
        & (usable["seed"] == image.seed)
        & (usable["prompt_id"] != image.prompt_id)
    ]
    if others.empty:
        return None
    own = words[image.prompt_id]
    shared = [len(own & words[i]) / max(1, len(own | words[i])) for i in others["prompt_id"]]
    best = np.flatnonzero(np.array(shared) == min(shared))
    return next(others.iloc[[rng.choice(best)]].itertuples())


def _check_row(question: Question, image: tuple, foil: tuple, rng: np.random.Generator) -> dict:
    expected = "ab"[rng.integers(2)]
    right, wrong = image.image_id, foil.image_id
    return {
        "pair_id": short_hash("check", question.id, right, wrong),
        "question_id": question.id,
        "prompt_id": image.prompt_id,
        "foil_prompt_id": foil.prompt_id,
        "model": image.model,
        "image_a": right if expected == "a" else wrong,
        "image_b": wrong if expected == "a" else right,
        "expected": expected,
        "foil": "other_prompt" if question.show_prompt else "pixelated",
    }


def _current_block(plan: TrialPlan, seen: Sequence[Showing]) -> int:
    ids = [block.question_id for block in plan.blocks]
    return max((ids.index(showing.question_id) for showing in seen), default=0)


def _fresh(
    plan: TrialPlan,
    block: Block,
    done: Sequence[Showing],
    tallies: Mapping[tuple[str, str], Tally],
) -> list[str]:
    shown = {showing.pair_id for showing in done}
    wanted = plan.design.votes_per_pair
    free, lacking = [], []
    for pair_id in plan.main:
        tally = tallies.get((block.question_id, pair_id), Tally())
        given = tally.voted + tally.open
        if pair_id not in shown and tally.voted < wanted and given <= wanted:
            (free if given < wanted else lacking).append(pair_id)
    return free or lacking


def _missing(
    plan: TrialPlan,
    block: Block,
    done: Sequence[Showing],
    tallies: Mapping[tuple[str, str], Tally],
) -> dict[str, int]:
    """How many trials of each kind the block still lacks."""
    shown = {kind: sum(showing.kind == kind for showing in done) for kind in Composition._fields}
    n_pairs = shown["main"] + len(_fresh(plan, block, done, tallies))
    planned = composition(plan.design, block.length, n_pairs, len(block.checks))
    missing = {kind: n - shown[kind] for kind, n in planned._asdict().items()}
    # Pairs that others completed make the block shorter: checks and repeats shown before count for
    # no main trial. A main trial too many does: it took the place of a repeat without room.
    return {**missing, **{kind: max(0, missing[kind]) for kind in ("attention", "repeat")}}


def _repeatable(done: Sequence[Showing]) -> list[str]:
    repeated = {showing.pair_id for showing in done if showing.kind == "repeat"}
    old_enough = done[: max(0, len(done) - MIN_REPEAT_GAP + 1)]
    return [s.pair_id for s in old_enough if s.kind == "main" and s.pair_id not in repeated]


def _next_in_block(
    plan: TrialPlan,
    block: Block,
    seen: Sequence[Showing],
    tallies: Mapping[tuple[str, str], Tally],
    rng: np.random.Generator,
) -> tuple[str, str | None]:
    done = [showing for showing in seen if showing.question_id == block.question_id]
    shown = {showing.pair_id for showing in done}
    candidates = {
        "main": _fresh(plan, block, done, tallies),
        "attention": [pair_id for pair_id in block.checks if pair_id not in shown],
        "repeat": _repeatable(done),
    }
    missing = _missing(plan, block, done, tallies)
    if sum(missing.values()) <= 0:
        return "main", None
    kinds = _drawn_order({k: n for k, n in missing.items() if n > 0 and candidates[k]}, rng)
    before = plan.pairs[seen[-1].pair_id].prompt_ids if seen else frozenset()
    for kind in kinds:
        free = [p for p in candidates[kind] if not plan.pairs[p].prompt_ids & before]
        if free:
            return kind, _least_issued(free, kind, block, tallies, rng)
    # Nothing avoids the last prompt; or only repeats are left and none is old enough yet.
    kind = kinds[0] if kinds else "main"
    if not candidates[kind]:
        return kind, None
    return kind, _least_issued(candidates[kind], kind, block, tallies, rng)


def _drawn_order(weights: Mapping[str, int], rng: np.random.Generator) -> list[str]:
    if not weights:
        return []
    shares = np.array(list(weights.values())) / sum(weights.values())
    return [str(kind) for kind in rng.choice(list(weights), len(weights), replace=False, p=shares)]


def _least_issued(
    candidates: Sequence[str],
    kind: str,
    block: Block,
    tallies: Mapping[tuple[str, str], Tally],
    rng: np.random.Generator,
) -> str:
    if kind == "main":
        issued = [tallies.get((block.question_id, p), Tally()).issued for p in candidates]
        fewest = min(issued)
        candidates = [p for p, n in zip(candidates, issued, strict=True) if n == fewest]
    return candidates[rng.integers(len(candidates))]


def _side(
    plan: TrialPlan,
    block: Block,
    seen: Sequence[Showing],
    kind: str,
    pair_id: str,
    rng: np.random.Generator,
) -> str:
    if kind == "repeat":
        first = next(s for s in seen if (s.question_id, s.pair_id) == (block.question_id, pair_id))
        return "b" if first.left == "a" else "a"
    matchup = plan.pairs[pair_id].matchup
    alike = [s for s in seen if s.kind == kind and plan.pairs[s.pair_id].matchup == matchup]
    # First the question's own balance, then that over all questions: both stay within one.
    for among in ([s for s in alike if s.question_id == block.question_id], alike):
        surplus = sum(1 if s.left == "a" else -1 for s in among)
        if surplus:
            return "b" if surplus > 0 else "a"
    return "ab"[rng.integers(2)]
