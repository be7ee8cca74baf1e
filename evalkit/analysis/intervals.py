"""Intervals for a mean of votes that share prompts and annotators.

Sources: Wilson 1927; Cameron, Gelbach & Miller 2011 (two-way clustering); Korn & Graubard 1998
(an interval for a proportion at its effective sample size).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from evalkit.analysis.bootstrap import REPLICATES, bootstrap_share
from evalkit.analysis.clusters import ClusterSums, ShareSums, share_sums
from evalkit.analysis.result import LEVEL, Result, require_level
from evalkit.analysis.significance import freedom_of, two_way_variance
from evalkit.analysis.student import t_quantile, t_tail
from evalkit.errors import EstimateError, listed

TWO_WAY = "two-way (prompt x annotator) Wilson, effective n, t"
UNANIMOUS = "unanimous, so bounded as if one vote had gone the other way"
NO_VARIATION = "no variation between prompts or annotators"


@dataclass(frozen=True)
class _Way:
    """How an interval sees the votes: which clusters it needs, and the variance of the mean."""

    method: str
    clusters: Callable[[ShareSums], tuple[ClusterSums, ...]]
    variance: Callable[[ShareSums], float]


_WAYS = {
    "two-way": _Way(TWO_WAY, lambda sums: (sums.prompts, sums.annotators), two_way_variance),
    "wilson": _Way(
        "Wilson, votes taken as independent",
        lambda sums: (),
        lambda sums: sums.share * (1 - sums.share) / sums.n,
    ),
    "by-prompt": _Way(
        "Wilson by prompt, effective n, t; annotators taken as they are",
        lambda sums: (sums.prompts,),
        lambda sums: sums.prompts.corrected(sums.share) / sums.n**2,
    ),
    "by-annotator": _Way(
        "Wilson by annotator, effective n, t; prompts taken as they are",
        lambda sums: (sums.annotators,),
        lambda sums: sums.annotators.corrected(sums.share) / sums.n**2,
    ),
}
INTERVALS = (*_WAYS, "bootstrap")


def wilson(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval for a share in [0, 1] of `n` > 0 votes (n may be fractional).

    `quantile` is the normal or t quantile of the two-sided level, 1.96 for 95%; the interval is
    (0, 1) where it is infinite.
    """
    weight = 1 / (1 + quantile * quantile / n)  # of the share, against one half
    centre = weight * share + (1 - weight) / 2
    half = np.sqrt(weight * (1 - weight) * share * (1 - share) + (1 - weight) ** 2 / 4)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def two_way_share(
    points: np.ndarray, prompt: np.ndarray, annotator: np.ndarray, *, level: float = LEVEL
) -> Result:
    """The mean of `points` with the default interval of a win rate; see `share_from`."""
    return share_from(share_sums(points, prompt, annotator), level=level)


def share(
    points: np.ndarray,
    prompt: np.ndarray,
    annotator: np.ndarray,
    interval: str = "two-way",
    *,
    level: float = LEVEL,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Result:
    """The mean of `points` (n values in [0, 1]) with one of the `INTERVALS`.

    `prompt` and `annotator` are n cluster codes each. For all but "bootstrap" see `share_from`.
    "bootstrap" draws prompts and annotators anew, `replicates` times with `seed`, and takes
    quantiles: see `bootstrap.bootstrap_share`. Where `share_from` has no interval, neither has it;
    a unanimous table has that of "two-way". EstimateError on another interval or level.
    """
    sums = share_sums(points, prompt, annotator)
    if interval != "bootstrap":
        return share_from(sums, interval, level=level)
    two_way = share_from(sums, level=level)
    if not two_way.has_interval or sums.share in (0.0, 1.0):
        return two_way
    return bootstrap_share(points, prompt, annotator, level=level, seed=seed, replicates=replicates)


def share_from(sums: ShareSums, interval: str = "two-way", *, level: float = LEVEL) -> Result:
    """The mean of points from their cluster sums, with any of the `INTERVALS` but the bootstrap.

    "two-way", the default: V is the two-way clustered variance (`significance.two_way_variance`),
    effective n is min(n, p(1-p)/V), and the interval is Wilson's at effective n with the t quantile
    on the degrees of freedom of `freedom_of` its prompts and annotators. "by-prompt" and
    "by-annotator": the same with the variance and freedom of one kind of clusters. "wilson": votes
    as independent, z.

    The p-value tests p = 1/2 and agrees with the interval: it is under .05 exactly when the 95%
    interval leaves out 1/2. A unanimous table has no variance to estimate: the bound and p-value of
    a clustered interval are then those of the table with one vote turned, so that it is never less
    sure than one with a dissent.

    No votes give NaN with n = 0. There is no interval (NaN; `method` says so) with a single vote,
    a single cluster of a kind that is needed, nothing but ties, or without variation.
    EstimateError where `interval` is none of these, or `level` not within (0, 1).
    """
    require_level(level)
    if interval not in _WAYS:
        raise EstimateError(f"interval: found {interval}; allowed are {listed(_WAYS)}; correct it")
    way = _WAYS[interval]
    bare = Result(
        sums.share, np.nan, np.nan, sums.n, "not estimated: no votes",
        n_prompts=sums.prompts.count, n_annotators=sums.annotators.count,
    )  # fmt: skip
    if sums.n == 0:
        return bare
    if reason := _lacking(sums, way):
        return replace(bare, method=f"no interval: {reason}")
    if sums.share in (0.0, 1.0) and way.clusters(sums):
        return _unanimous(sums, interval, level)
    return _with_interval(bare, sums, way, level)


def _with_interval(bare: Result, sums: ShareSums, way: _Way, level: float) -> Result:
    """The result with Wilson's interval at the effective number of votes, and its p-value."""
    variance, clusters = way.variance(sums), way.clusters(sums)
    if variance == 0 and clusters:
        return replace(bare, method=f"no interval: {NO_VARIATION}")
    effective = min(sums.n, sums.share * (1 - sums.share) / variance) if variance else sums.n
    freedom = freedom_of(sums.n, *clusters)
    low, high = wilson(sums.share, effective, t_quantile(level, freedom))
    statistic = abs(sums.share - 0.5) * 2 * np.sqrt(effective)
    return replace(
        bare,
        ci_low=low,
        ci_high=high,
        method=way.method,
        p_value=float(2 * t_tail(statistic, freedom)),
        n_effective=float(effective),
    )


def _lacking(sums: ShareSums, way: _Way) -> str:
    """Why there is no interval; empty where there is one."""
    if sums.n == 1:
        return "a single vote"
    for part in way.clusters(sums):
        if part.count < 2:
            kind = "prompt" if part is sums.prompts else "annotator"
            return f"one {kind}, at least two are needed"
    if not sums.decided:
        return "every vote is a tie"
    if way.clusters(sums) and 0 < sums.share < 1 and sums.cells.meat(sums.share) == 0:
        return NO_VARIATION
    return ""


def _unanimous(sums: ShareSums, interval: str, level: float) -> Result:
    """The result of a table of n > 1 votes that all went one way."""
    own, asked, cell = sums.heaviest
    dissent = ShareSums(
        n=sums.n,
        total=1.0,
        decided=sums.n,
        prompts=sums.prompts.with_one_won(asked),
        annotators=sums.annotators.with_one_won(own),
        cells=sums.cells.with_one_won(cell),
        heaviest=sums.heaviest,
    )
    near = share_from(dissent, interval, level=level)
    bounds = (0.0, near.ci_high) if sums.share == 0 else (1 - near.ci_high, 1.0)
    return replace(
        near,
        estimate=sums.share,
        ci_low=bounds[0],
        ci_high=bounds[1],
        method=f"{near.method}; {UNANIMOUS}",
    )
