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

    The first model named is the one with the higher rate. What could not be estimated is said, with
    the reason that the row's method gives.
    """
    first, second = row["model_a"], row["model_b"]
    rate, low, high = row["win_rate_a"], row["ci_low"], row["ci_high"]
    question, reason = row["question_id"], row["method"].split(";")[0]
    if isnan(rate):
        return f"On {question}, {first} against {second} was not estimated ({reason})."
    if rate < 0.5:
        first, second = second, first
        rate, low, high = 1 - rate, 1 - high, 1 - low
    voters = f"{'simulated ' if row.get('vote_source') == tables.SIMULATED else ''}annotators"
    prompts, people = counted(row["n_prompts"], "prompt"), counted(row["n_annotators"], "annotator")
    size = f"n = {row['n']}, {prompts}, {people}"
    if isnan(low):
        return (
            f"On {question}, {voters} preferred {first} to {second} in {_percent(rate)} of "
            f"comparisons; how sure that is was not estimated ({reason}; {size})."
        )
    share = f"{_percent(rate)} ({_percent(low)} to {_percent(high)}) of comparisons ({size})"
    if low > 0.5:
        chance = _may_be_chance(row["p_holm"])
        return f"On {question}, {voters} preferred {first} to {second} in {share}{chance}."
    return (
        f"On {question}, no preference could be shown between {first} and {second}: {voters} "
        f"preferred {first} in {share}."
    )


def counted(n: int, noun: str) -> str:
    """`1 prompt`, `24 prompts`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _percent(share: float) -> str:
    """Whole percent, with decimals where without them it would seem to be 50% and is not."""
    if share != 0.5:
        for digits in (0, 1, 2):
            text = f"{share:.{digits}%}"
            if float(text.rstrip("%")) != 50:
                return text
    return f"{share:.0%}"


def _may_be_chance(p_holm: float) -> str:
    """A caveat where the interval leaves out 50% but the test over all pairs of the question does
    not (Holm, .05)."""
    return f"; over all pairs this may be chance (Holm p = {p_holm:.2f})" if p_holm > 0.05 else ""
