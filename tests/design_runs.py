"""Simulated annotators of a plan of trials, at once or one by one: plain functions for tests."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd

from evalkit.design import Showing, Tallies, TrialPlan, choose_trial, trial_plan
from evalkit.study_sections import Design, Question

QUESTIONS = (
    Question(id="alignment", text="Which fits better?", show_prompt=True),
    Question(id="quality", text="Which looks better made?", show_prompt=False),
)
LEASE = 60  # votes of all until a trial left open gives its pair back


def plan_of(
    n_prompts: int = 10, n_matchups: int = 10, n_attention: int = 10, **design: object
) -> TrialPlan:
    """A plan with a pair for each prompt and matchup, made without any image."""
    settings = Design(**{"practice_trials": 0, **design})
    rows = [
        (f"pair-{prompt}-{matchup}", "", f"matchup-{matchup}", f"p{prompt}", "main", "")
        for prompt in range(n_prompts)
        for matchup in range(n_matchups)
    ]
    for question in QUESTIONS:
        roles = ["attention"] * n_attention + ["practice"] * settings.practice_trials
        rows += [
            (f"{question.id}-check-{n}", question.id, "check", f"p{n}", role, "ab"[n % 2])
            for n, role in enumerate([*roles, "example"])
        ]
    columns = ["pair_id", "question_id", "matchup", "prompt_id", "role", "expected"]
    pairs = pd.DataFrame(rows, columns=columns)
    return trial_plan(pairs.assign(foil_prompt_id=pairs["prompt_id"]), QUESTIONS, settings)


def of_question(seen: list[Showing], question_id: str) -> list[Showing]:
    """The trials of this question."""
    return [showing for showing in seen if showing.question_id == question_id]


def of_kind(seen: list[Showing], kind: str) -> list[Showing]:
    """The trials of this kind."""
    return [showing for showing in seen if showing.kind == kind]


def prompts_of(pair):
    """The prompts that the two images of a planned pair were made from."""
    return {pair.prompt_id, pair.foil_prompt_id}


def imbalances(plan: TrialPlan, seen: list[Showing]) -> list[int]:
    """|left a - left b| after each main trial, per matchup: over its question, and over all."""
    surplus: Counter[tuple[str, ...]] = Counter()
    found = []
    for showing in of_kind(seen, "main"):
        matchup = plan.pairs[showing.pair_id].matchup
        for key in ((matchup,), (matchup, showing.question_id)):
            surplus[key] += 1 if showing.left == "a" else -1
            found.append(abs(surplus[key]))
    return found


def repeat_gaps(seen: list[Showing]) -> list[int]:
    """Trials from each first showing to its repeat; the sides must be swapped."""
    first = {}
    gaps = []
    for place, showing in enumerate(seen):
        key = (showing.question_id, showing.pair_id)
        if showing.kind == "repeat":
            assert showing.left != seen[first[key]].left
            gaps.append(place - first[key])
        else:
            assert key not in first, "a pair twice that is no repeat"
            first[key] = place
    return gaps


@dataclass
class Crowd:
    """Annotators who vote in random order, each with up to `ahead` open trials.

    After each vote one of them leaves for good with the chance `leaving`; the trials they had open
    come back after `LEASE` votes of others. `favours` is the chance that a wins, by matchup.
    """

    plan: TrialPlan
    n_annotators: int
    seed: int
    leaving: float = 0.0
    favours: dict[str, float] = field(default_factory=dict)
    ahead: int = 3

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.tallies = Tallies.of(self.plan)
        self.seen: dict[int, list[Showing]] = defaultdict(list)
        self.voted: Counter[int] = Counter()
        self.votes: Counter[tuple[str, str]] = Counter()
        self.results: dict[tuple[str, str], tuple[int, int, int]] = {}
        self.left: set[int] = set()
        self._abandoned: list[tuple[int, list[Showing]]] = []

    def one_by_one(self) -> list[list[Showing]]:
        """Each annotator votes to the end before the next begins; their trials."""
        for who in range(self.n_annotators):
            self._lease(who)
            while self.voted[who] < len(self.seen[who]):
                self._vote(who)
                self._lease(who)
        return [self.seen[who] for who in range(self.n_annotators)]

    def at_once(self) -> Self:
        """All in random order, until nobody who is here has a trial left."""
        here = list(range(self.n_annotators))
        clock = 0
        while here:
            who = here[self.rng.integers(len(here))]
            self._lease(who)
            if self.voted[who] == len(self.seen[who]):
                here.remove(who)
                continue
            self._vote(who)
            clock += 1
            self._expire(clock)
            if self.rng.random() < self.leaving:
                self._lease(who)
                here.remove(who)
                self.left.add(who)
                self._abandoned.append((clock, self.seen[who][self.voted[who] :]))
        return self

    def _lease(self, who: int) -> None:
        seen = self.seen[who]
        while len(seen) - self.voted[who] < self.ahead:
            seed = int(self.rng.integers(2**63))
            showing = choose_trial(self.plan, seen, self.tallies, seed, self.results)
            if showing is None:
                return
            seen.append(showing)
            self._count(showing, issued=1, opened=1)

    def _vote(self, who: int) -> None:
        showing = self.seen[who][self.voted[who]]
        self.voted[who] += 1
        self._count(showing, voted=1, opened=-1)
        if showing.kind == "main":
            self.votes[showing.question_id, showing.pair_id] += 1
            matchup = self.plan.pairs[showing.pair_id].matchup
            a, b, ties = self.results.get((showing.question_id, matchup), (0, 0, 0))
            won = self.rng.random() < self.favours.get(matchup, 0.5)
            self.results[showing.question_id, matchup] = (a + won, b + (not won), ties)

    def _expire(self, clock: int) -> None:
        for since, showings in self._abandoned:
            if clock - since == LEASE:
                for showing in showings:
                    self._count(showing, opened=-1)

    def _count(self, showing: Showing, issued: int = 0, voted: int = 0, opened: int = 0) -> None:
        if showing.kind == "main":
            key = (showing.question_id, showing.pair_id)
            tally = self.tallies.get(*key)
            self.tallies.put(*key, tally.issued + issued, tally.voted + voted, tally.open + opened)
