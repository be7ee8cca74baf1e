"""Images -> pairs and checks; which trial comes next: balance, sides, repeats (pure, seeded)."""

from evalkit.design.checks import plan_checks
from evalkit.design.choice import choose_trial
from evalkit.design.pairs import matchups, plan_pairs, short_hash
from evalkit.design.parts import (
    MIN_REPEAT_GAP,
    Composition,
    block_length,
    composition,
    question_parts,
)
from evalkit.design.plan import Part, PlannedPair, Showing, TrialPlan, trial_plan
from evalkit.design.policy import Results, matchup_chances, misordering
from evalkit.design.progress import Progress, progress
from evalkit.design.remaining import may_come
from evalkit.design.tally import Tallies, Tally

__all__ = [
    "MIN_REPEAT_GAP",
    "Composition",
    "Part",
    "PlannedPair",
    "Progress",
    "Results",
    "Showing",
    "Tallies",
    "Tally",
    "TrialPlan",
    "block_length",
    "choose_trial",
    "composition",
    "matchup_chances",
    "matchups",
    "may_come",
    "misordering",
    "plan_checks",
    "plan_pairs",
    "progress",
    "question_parts",
    "short_hash",
    "trial_plan",
]
