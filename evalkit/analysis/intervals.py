"""Intervals for a mean of votes that share prompts and annotators.

Sources: Wilson 1927; Cameron, Gelbach & Miller 2011 (two-way clustering); Korn & Graubard 1998
(an interval for a proportion at its effective sample size).
"""

import numpy as np
from scipy import stats

from evalkit.analysis.result import Result

LEVEL = 0.95

TWO_WAY = "two-way (prompt x annotator) Wilson, effective n, t"
UNANIMOUS = f"{TWO_WAY}; unanimous, so bounded as if one vote had gone the other way"


def wilson(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval for a share in [0, 1] of `n` > 0 votes (n may be fractional).

    `quantile` is the normal or t quantile of the two-sided level, 1.96 for 95%.
    """
    z2 = quantile**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = quantile / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def cluster_meat(scores: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, int]:
    """Sum over clusters of s s' for the summed scores s of a cluster (k x k), and their number.

    `scores` is n x k; `codes` holds n cluster codes.
    """
    _, inverse = np.unique(codes, return_inverse=True)
    count = int(inverse.max()) + 1
    sums = np.zeros((count, scores.shape[1]))
    np.add.at(sums, inverse, scores)
    return sums.T @ sums, count


def two_way_meat(
    scores: np.ndarray, prompt: np.ndarray, annotator: np.ndarray, *, small_sample: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The two-way clustered meat of n x k scores, and its floor: that of prompt-annotator cells.

    Prompt part + annotator part - cell part, each times G / (G - 1) for its G clusters unless
    `small_sample` is off. Needs at least two prompts and two annotators.
    """
    cell = prompt.astype(np.int64) * (int(annotator.max()) + 1) + annotator
    parts = []
    for codes in (prompt, annotator, cell):
        meat, count = cluster_meat(scores, codes)
        parts.append(meat * count / (count - 1) if small_sample else meat)
    by_prompt, by_annotator, by_cell = parts
    return by_prompt + by_annotator - by_cell, by_cell


def two_way_share(points: np.ndarray, prompt: np.ndarray, annotator: np.ndarray) -> Result:
    """The mean of `points` (n values in [0, 1]) with the default interval of a win rate.

    V is the two-way clustered variance floored at that of the cells; effective n is
    min(n, p(1-p)/V); Wilson's interval at effective n with the t quantile on
    min(prompts, annotators) - 1 degrees of freedom. The p-value tests p = 1/2 and agrees with the
    interval: it is under .05 exactly when the 95% interval leaves out 1/2.
    A unanimous table has no variance to estimate: its bound and p-value are those of the table with
    one vote turned, so that it is never less sure than one with a dissent.
    With one prompt or one annotator, or without variation between prompts and annotators, there is
    no interval (NaN; `method` says so); n = 0 gives NaN.
    """
    n = len(points)
    if n == 0:
        return Result(np.nan, np.nan, np.nan, 0, "not estimated: no votes")
    share = float(points.mean())
    smaller = min(len(np.unique(prompt)), len(np.unique(annotator)))
    if smaller < 2:
        reason = "one annotator" if len(np.unique(annotator)) < 2 else "one prompt"
        return Result(share, np.nan, np.nan, n, f"no interval: {reason}, at least two are needed")
    if share in (0.0, 1.0):
        return _unanimous(points, prompt, annotator)
    residuals = (points - share)[:, None]
    meat, floor = two_way_meat(residuals, prompt, annotator)
    variance = max(float(meat[0, 0]), float(floor[0, 0])) / n**2
    if variance == 0:
        all_ties = bool((points == share).all())
        reason = "every vote is a tie" if all_ties else "no variation between prompts or annotators"
        return Result(share, np.nan, np.nan, n, f"no interval: {reason}")
    effective = min(n, share * (1 - share) / variance)
    low, high = wilson(share, effective, float(stats.t.ppf((1 + LEVEL) / 2, smaller - 1)))
    statistic = abs(share - 0.5) * 2 * np.sqrt(effective)
    p_value = float(2 * stats.t.sf(statistic, smaller - 1))
    return Result(share, low, high, n, TWO_WAY, p_value)


def _unanimous(points: np.ndarray, prompt: np.ndarray, annotator: np.ndarray) -> Result:
    """The result of a table of n > 1 votes that all went one way."""
    by_annotator, by_prompt = np.bincount(annotator)[annotator], np.bincount(prompt)[prompt]
    turned = points.copy()
    heaviest = np.lexsort((by_prompt, by_annotator))[-1]  # the dissent that would weigh most
    turned[heaviest] = 1 - turned[heaviest]
    near = two_way_share(turned, prompt, annotator)
    share = float(points[0])
    low, high = (near.ci_low, 1.0) if share == 1 else (0.0, near.ci_high)
    return Result(share, low, high, len(points), UNANIMOUS, near.p_value)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values (1979); NaN stays NaN and does not count in the family."""
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
