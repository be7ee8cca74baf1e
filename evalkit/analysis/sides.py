"""How often the left image was preferred: the effect of the side, apart from any model."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.coding import BOTH_BAD, TIE, CodedVotes, encode
from evalkit.analysis.counting import counting, labelled
from evalkit.analysis.intervals import INTERVALS, LEVEL, REPLICATES, require_level, share
from evalkit.analysis.result import Result
from evalkit.analysis.significance import holm
from evalkit.errors import EstimateError, listed

DECIDED = "share of decided votes; beside it ties and both_bad half"


def left_share(
    comparisons: pd.DataFrame,
    *,
    interval: str = "two-way",
    by: str | None = None,
    level: float = LEVEL,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """One row per question (`tables.LEFT_SHARE`): the share of votes for the left image, in [0, 1].

    `left_share` is of the n votes for a side (n_left of them left), with its interval at `level`
    and the p-value of 1/2, p_holm corrected over the table. half_share, half_low, half_high and
    half_p are of the n_half votes with ties and both_bad half. Votes whose sides nobody knows
    count in n_unknown only. With `by`, a column that tells pools of annotators (or anything else)
    apart, a row is of a question and a value (columns by and value).

    One half is expected where sides are drawn; a bias widens the intervals of win rates and pulls
    them towards one half, but favours no model then. Only comparisons of kind main that no rule
    excludes count. What cannot be estimated is NaN and `method` says why first. No comparisons give
    an empty table. EstimateError on an option that is not allowed, or a `by` that is no column.
    """
    require_level(level)
    if interval not in INTERVALS:
        raise EstimateError(f"interval: found {interval}; allowed are {listed(INTERVALS)}")
    if by is not None and by not in comparisons.columns:
        raise EstimateError(
            f"by: no column {by}; the votes have {listed(comparisons.columns)}; name one of them"
        )
    options = {"level": level, "seed": seed, "replicates": replicates}
    rows = [
        {**names, **_row(encode(asked), interval, options)}
        for names, asked in _groups(counting(comparisons), by)
    ]
    if not rows:
        return tables.LEFT_SHARE.empty()
    frame = pd.DataFrame(rows)
    frame["p_holm"] = holm(frame["p_value"].to_numpy())
    return labelled(tables.check(frame, tables.LEFT_SHARE, "left share"), comparisons)


def left_points(votes: CodedVotes) -> np.ndarray:
    """What the left image got of each vote (n): 1, 0.5 for tie and both_bad, 0; NaN if unknown."""
    points = np.where(votes.left == 1, votes.points, 1 - votes.points)
    return np.where(votes.left == 0, np.nan, points)


def _groups(
    comparisons: pd.DataFrame, by: str | None
) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    for question_id, asked in comparisons.groupby("question_id", sort=True):
        if by is None:
            yield {"question_id": question_id}, asked
            continue
        for value, part in asked.groupby(asked[by].astype(object).fillna(""), sort=True):
            yield {"question_id": question_id, "by": by, "value": str(value)}, part


def _row(votes: CodedVotes, interval: str, options: dict[str, Any]) -> dict[str, Any]:
    known = votes.take(votes.left != 0)
    points = left_points(known)
    decided = known.is_decided
    prompt, annotator = known.prompt, known.annotator
    result = share(points[decided], prompt[decided], annotator[decided], interval, **options)
    half = share(points, prompt, annotator, interval, **options)
    n_left = int((points[decided] == 1).sum())
    counts = np.bincount(known.outcome, minlength=BOTH_BAD + 1)
    outcomes = (n_left, int(decided.sum()) - n_left, int(counts[TIE]), int(counts[BOTH_BAD]))
    return side_row(result, half, outcomes, votes.n - known.n)


def side_row(
    result: Result, half: Result, outcomes: tuple[int, int, int, int], n_unknown: int
) -> dict[str, Any]:
    """A row of `tables.LEFT_SHARE` without its question and p_holm.

    `result` is of the votes for a side, `half` of all whose sides are known, `outcomes` counts
    left, right, tie and both_bad.
    """
    nothing_known = n_unknown and not sum(outcomes)
    reason = "not estimated: no side is known" if nothing_known else result.method
    row = {
        **dict(zip(("n_left", "n_right", "ties", "both_bad"), outcomes, strict=True)),
        "n_unknown": n_unknown,
        "n": result.n,
        "n_prompts": result.n_prompts,
        "n_annotators": result.n_annotators,
        "left_share": result.estimate,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "p_value": result.p_value,
        "n_effective": result.n_effective,
        "half_share": half.estimate,
        "half_low": half.ci_low,
        "half_high": half.ci_high,
        "half_p": half.p_value,
        "n_half": half.n,
        "method": f"{reason}; {DECIDED}",
    }
    return row if result.seed is None else {**row, "seed": result.seed}
