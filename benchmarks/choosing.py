"""How long one choice of a trial takes, in memory: python benchmarks/choosing.py"""

import time
from collections import Counter

import numpy as np
import pandas as pd

from evalkit.design import Showing, Tallies, TrialPlan, choose_trial, progress, trial_plan
from evalkit.study_sections import Design, Question

PAIRS = (100, 1000, 5000)
POLICIES = ("uniform", "adaptive")
MATCHUPS = 28  # of 8 models
CROWD = 400  # annotators on their way, each with so many trials:
TRIALS_BEFORE = 20
WALKS = 5  # annotators whose choices are timed from their first trial to their last
QUESTIONS = (
    Question(id="quality", text="Which looks better made?", show_prompt=False),
    Question(id="alignment", text="Which fits better?", show_prompt=True),
)
_COLUMNS = ["pair_id", "question_id", "matchup", "prompt_id", "role", "expected"]


def make_plan(n_pairs: int, policy: str) -> TrialPlan:
    """A plan of `n_pairs` pairs and two questions, 200 trials and 4 of practice per annotator."""
    rows = [
        (f"pair-{n}", "", f"matchup-{n % MATCHUPS}", f"p{n // MATCHUPS}", "main", "")
        for n in range(n_pairs)
    ]
    for question in QUESTIONS:
        rows += [
            (f"{question.id}-{role}-{n}", question.id, "check", f"p{n}", role, "ab"[n % 2])
            for role, count in (("attention", 10), ("practice", 2))
            for n in range(count)
        ]
    pairs = pd.DataFrame(rows, columns=_COLUMNS)
    design = Design(votes_per_pair=1000, trials_per_annotator=200, policy=policy)
    return trial_plan(pairs.assign(foil_prompt_id=pairs["prompt_id"]), QUESTIONS, design)


class Study:
    """A study under way: every trial is voted on at once, at random."""

    def __init__(self, plan: TrialPlan, seed: int) -> None:
        self.plan = plan
        self.rng = np.random.default_rng(seed)
        self.tallies = Tallies.of(plan)
        self.votes: Counter[tuple[str, str, int]] = Counter()
        self.results: dict[tuple[str, str], tuple[int, int, int]] = {}

    def choose(self, seen: list[Showing]) -> Showing | None:
        """The next trial of one who was shown `seen`."""
        seed = int(self.rng.integers(2**63))
        return choose_trial(self.plan, seen, self.tallies, seed, self.results)

    def vote(self, seen: list[Showing], showing: Showing) -> None:
        """Count the trial, with a vote for a, b or a tie."""
        seen.append(showing)
        if showing.kind == "main":
            pair = (showing.question_id, showing.pair_id)
            issued, voted, opened = self.tallies.get(*pair)
            self.tallies.put(*pair, issued + 1, voted + 1, opened)
            matchup = (showing.question_id, self.plan.pairs[showing.pair_id].matchup)
            self.votes[*matchup, int(self.rng.integers(3))] += 1
            self.results[matchup] = tuple(self.votes[*matchup, vote] for vote in range(3))


def milliseconds(plan: TrialPlan, seed: int = 0) -> tuple[list[float], list[float]]:
    """Of each choice, and of each progress asked after it, on the walks of `WALKS` annotators."""
    study = Study(plan, seed)
    for _ in range(CROWD):
        seen: list[Showing] = []
        for _ in range(TRIALS_BEFORE):
            study.vote(seen, study.choose(seen))
    choices, progresses = [], []
    for _ in range(WALKS):
        seen, started = [], time.perf_counter()
        while (showing := study.choose(seen)) is not None:
            choices.append(1000 * (time.perf_counter() - started))
            study.vote(seen, showing)
            started = time.perf_counter()
            progress(plan, seen, range(len(seen)), study.tallies)
            progresses.append(1000 * (time.perf_counter() - started))
            started = time.perf_counter()
    return choices, progresses


def main() -> None:
    """Print a table: a line for each number of pairs and policy."""
    print("| pairs | policy | ms per choice: median | 95% | ms per progress: median |")
    print("|---|---|---|---|---|")
    for n_pairs in PAIRS:
        for policy in POLICIES:
            choices, progresses = milliseconds(make_plan(n_pairs, policy))
            low, high = np.quantile(choices, [0.5, 0.95])
            print(
                f"| {n_pairs} | {policy} | {low:.2f} | {high:.2f} | {np.median(progresses):.2f} |"
            )


if __name__ == "__main__":
    main()
