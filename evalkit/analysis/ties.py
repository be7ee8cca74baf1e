"""The rules for ties: which votes count, and for how much."""

import numpy as np

from evalkit.analysis.coding import BOTH_BAD, CodedVotes
from evalkit.errors import EstimateError, listed

RULES = {
    "half": "ties and both_bad count half",
    "drop": "ties and both_bad dropped",
    "both_bad_apart": "ties count half, both_bad apart",
}


def require_rule(rule: str) -> None:
    """EstimateError unless the rule is one of `RULES`."""
    if rule not in RULES:
        raise EstimateError(f"ties: found {rule}; allowed are {listed(RULES)}; correct it")


def points_of(votes: CodedVotes, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """The first model's points of the votes that a rule counts, and which votes those are.

    Points are 1 (won), 0.5 (tie or both_bad, where they count) or 0 (lost), one for each true value
    of the mask (n). EstimateError on an unknown rule.
    """
    require_rule(rule)
    counted = {
        "half": np.ones(votes.n, dtype=bool),
        "drop": votes.is_decided,
        "both_bad_apart": votes.outcome != BOTH_BAD,
    }[rule]
    return votes.points[counted], counted
