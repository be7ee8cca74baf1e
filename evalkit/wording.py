"""Results in words, the same in the terminal and on the page."""

from math import isnan
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.analysis import mean_scores


def win_rate_lines(win_rates: pd.DataFrame) -> list[str]:
    """One sentence per row of a win-rate table; a first line says so where votes are simulated."""
    lines = [win_rate_sentence(row) for row in win_rates.to_dict("records")]
    return [tables.SIMULATED, *lines] if tables.is_simulated(win_rates) else lines


def score_lines(scores: pd.DataFrame) -> list[str]:
    """What a metric gave (`tables.SCORES` of one metric and weights), a line per model."""
    metric, weights = scores["metric"].iloc[0], scores["weights"].iloc[0]
    cut = int(scores["truncated"].sum())
    too_long = f" ({cut} of them of a prompt that was cut at the token limit)" if cut else ""
    lines = [f"{metric} of {counted(len(scores), 'image')}{too_long}, weights {weights}"]
    for row in mean_scores(scores).itertuples():
        interval = "" if isnan(row.ci_low) else f" ({row.ci_low:.2f} to {row.ci_high:.2f})"
        lines.append(f"  {row.model}: {row.mean:.2f}{interval}")
    return lines


def win_rate_sentence(row: dict[str, Any]) -> str:
    """Who was preferred, with the win rate, its 95% interval and the counts behind it.

    The first model named is the one with the higher rate; where the interval holds 50%, no
    preference is claimed. What could not be estimated is said, with the reason that the row's
    method gives.
    """
    first, second = row["model_a"], row["model_b"]
    rate, low, high = row["win_rate_a"], row["ci_low"], row["ci_high"]
    won, lost = row["wins_a"], row["wins_b"]
    question, reason = row["question_id"], row["method"].split(";")[0]
    if isnan(rate):
        return f"On {question}, {first} against {second} was not estimated ({reason})."
    if rate < 0.5:
        first, second, won, lost = second, first, lost, won
        rate, low, high = 1 - rate, 1 - high, 1 - low
    voters = f"{'simulated ' if row.get('vote_source') == tables.SIMULATED else ''}annotators"
    counts = _counts(row, won, lost)
    if isnan(low):
        return (
            f"On {question}, {first} has a win rate of {_percent(rate)} against {second} "
            f"({counts}); how sure that is was not estimated ({reason})."
        )
    share = f"{_percent(rate)} ({_percent(low)} to {_percent(high)}; {counts})"
    if low > 0.5:
        chance = _may_be_chance(row["p_holm"])
        return f"On {question}, {voters} preferred {first} to {second}: win rate {share}{chance}."
    return (
        f"On {question}, no preference could be shown between {first} and {second}: win rate of "
        f"{first} {share}."
    )


def _counts(row: dict[str, Any], won: int, lost: int) -> str:
    """`46 won, 23 lost, 11 ties counted half; 20 prompts, 15 annotators`."""
    halves = [counted(row["ties"], "tie")] if row["ties"] else []
    halves += [f"{row['both_bad']} both bad"] if row["both_bad"] else []
    half = f", {' and '.join(halves)} counted half" if halves else ""
    prompts, people = counted(row["n_prompts"], "prompt"), counted(row["n_annotators"], "annotator")
    return f"{won} won, {lost} lost{half}; {prompts}, {people}"


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
