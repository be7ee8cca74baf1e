"""Tests of no preference, and their correction for many pairs."""

import numpy as np
from scipy.special import bdtr, betaincinv

from evalkit.analysis.clusters import ClusterSums, ShareSums
from evalkit.analysis.result import LEVEL, Result
from evalkit.analysis.student import t_quantile, t_tail

SIGN_TEST = "exact sign test on prompt means, Clopper-Pearson"
CLUSTERED_Z = "z with two-way (prompt x annotator) variance, t"


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values (1979); NaN stays NaN and does not count in the family."""
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return adjusted


def sign_test(means: np.ndarray, *, level: float = LEVEL) -> Result:
    """Exact two-sided sign test of prompt means (in [0, 1]) against 1/2; see `sign_test_of`."""
    means = np.asarray(means, dtype=float)
    return sign_test_of(int((means > 0.5).sum()), int((means < 0.5).sum()), level=level)


def sign_test_of(ahead: int, behind: int, *, level: float = LEVEL) -> Result:
    """The sign test of `ahead` prompts with a mean over 1/2 and `behind` with one under it.

    The estimate is the share of prompts ahead, with the interval of Clopper and Pearson (1934) at
    `level`; n counts these prompts, those at 1/2 are left out. The p-value is the exact binomial
    one and holds with any dependence within a prompt; it takes the annotators as they are.
    NaN, with the reason, where no prompt is ahead or behind.
    """
    n = ahead + behind
    if n == 0:
        return Result(np.nan, np.nan, np.nan, 0, "not tested: no prompt is ahead or behind")
    tail = (1 - level) / 2
    low = float(betaincinv(ahead, behind + 1, tail)) if ahead else 0.0
    high = float(betaincinv(ahead + 1, behind, 1 - tail)) if behind else 1.0
    p_value = min(1.0, 2 * float(bdtr(min(ahead, behind), n, 0.5)))
    return Result(ahead / n, low, high, n, SIGN_TEST, p_value, n_prompts=n)


def clustered_z(sums: ShareSums, *, level: float = LEVEL) -> Result:
    """The mean of the points with p = 1/2 tested by (p - 1/2) / sqrt(V), and p +- t sqrt(V).

    V is the two-way clustered variance, floored at that of the cells; the t distribution has the
    degrees of freedom of `freedom_of` the prompts and annotators. Unlike the
    default of a win rate, V is not that at p = 1/2, and bounds may leave [0, 1]. NaN, with the
    reason, where V is unknown or zero.
    """
    counts = {"n_prompts": sums.prompts.count, "n_annotators": sums.annotators.count}
    variance = two_way_variance(sums)
    if not variance > 0:  # NaN too
        reason = "not tested: one prompt or annotator, or no variation"
        return Result(sums.share, np.nan, np.nan, sums.n, reason, **counts)
    freedom = freedom_of(sums.n, sums.prompts, sums.annotators)
    error = float(np.sqrt(variance))
    half = t_quantile(level, freedom) * error
    p_value = float(2 * t_tail(abs(sums.share - 0.5) / error, freedom))
    bounds = (sums.share - half, sums.share + half)
    return Result(sums.share, *bounds, sums.n, CLUSTERED_Z, p_value, **counts)


def freedom_of(n: int, *kinds: ClusterSums) -> float:
    """Degrees of freedom of the variance of n votes: the fewest effective clusters, less one.

    That is min(prompts, annotators) - 1 where each has as many votes; fewer where some have most of
    them, as the variance then rests on those. Infinite without clusters. Source: Kish 1965.
    """
    return min((kind.effective(n) for kind in kinds), default=float("inf")) - 1


def two_way_variance(sums: ShareSums) -> float:
    """Variance of the mean: prompt part + annotator part - cell part, at least the cell part.

    Each part is multiplied by G / (G - 1) for its G clusters. NaN with fewer than two prompts or
    annotators, or without votes. Source: Cameron, Gelbach & Miller 2011.
    """
    if not sums.n:
        return float("nan")
    parts = (sums.prompts, sums.annotators, sums.cells)
    by_prompt, by_annotator, by_cell = (part.corrected(sums.share) for part in parts)
    if np.isnan(by_prompt + by_annotator):
        return float("nan")
    return max(by_prompt + by_annotator - by_cell, by_cell) / sums.n**2
