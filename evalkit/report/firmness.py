"""How firmly a preference stands: the same mark in the words and in the figures."""

from typing import Any


def firmness(row: dict[str, Any]) -> str:
    """`firm`: a preference, also by the test over all pairs (Holm, .05); `single`: by the interval
    of this pair alone; `open`: none shown. What was not estimated is open."""
    if not (row["ci_low"] > 0.5 or row["ci_high"] < 0.5):
        return "open"
    return "firm" if row["p_holm"] <= 0.05 else "single"
