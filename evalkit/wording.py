"""Results in words, the same in the terminal and on the page."""

from math import isnan
from typing import Any

import pandas as pd

from evalkit import tables


def win_rate_lines(win_rates: pd.DataFrame) -> list[str]:
    """One sentence per row of a win-rate table; a first line says so where votes are simulated."""
    lines = [win_rate_sentence(row) for row in win_rates.to_dict("records")]
    return [tables.SIMULATED, *lines] if tables.is_simulated(win_rates) else lines


def win_rate_sentence(row: dict[str, Any]) -> str:
    """Who was preferred, with the rate, its 95% interval and n; no preference where it may be 50%.

    The first model named is the one with the higher rate.
    """
    first, second = row["model_a"], row["model_b"]
    rate, low, high = row["win_rate_a"], row["ci_low"], row["ci_high"]
    if rate < 0.5:
        first, second = second, first
        rate, low, high = 1 - rate, 1 - high, 1 - low
    counted = f"n = {row['n']}, {row['n_prompts']} prompts, {row['n_annotators']} annotators"
    if isnan(low):
        reason = row["method"].split(";")[0]
        return f"{row['question_id']}: {first} {rate:.1%} against {second} ({reason}; {counted})"
    share = f"{rate:.1%} ({low:.1%} to {high:.1%}; {counted})"
    if low > 0.5:
        return f"{row['question_id']}: {first} preferred to {second} in {share}"
    return f"{row['question_id']}: no preference shown between {first} and {second}: {share}"
