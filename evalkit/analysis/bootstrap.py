"""Cluster bootstraps of a mean of votes, by counts: prompts, annotators or both are drawn anew.

Both at once is the pigeonhole bootstrap: a vote weighs as often as its prompt was drawn, times as
often as its annotator was. Source: Owen 2007, The pigeonhole bootstrap.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from evalkit.analysis.result import LEVEL, Result, require_level
from evalkit.analysis.sandwich import dense
from evalkit.errors import EstimateError, listed

REPLICATES = 1000
METHODS = {
    "both": (
        "two-way (prompt x annotator) pigeonhole bootstrap, percentiles; it over-covers (.98 to "
        "1.00 of simulated studies with 20 annotators at 95%)"
    ),
    "prompt": "bootstrap of the prompts, percentiles; annotators taken as they are",
    "annotator": "bootstrap of the annotators, percentiles; prompts taken as they are",
}
_AT_ONCE = 2**22  # weights and their products in memory
_DENSE = 30  # a dense product does about so many cells in the time that a sparse one takes for one


def bootstrap_share(
    points: np.ndarray,
    prompt: np.ndarray,
    annotator: np.ndarray,
    *,
    by: str = "both",
    level: float = LEVEL,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Result:
    """The mean of `points` (n values in [0, 1]) with a percentile bootstrap interval.

    `by` says what is drawn anew: "prompt", "annotator" or "both". The p-value is one less the
    highest level at which the interval leaves out 1/2, at least 2 / (1 + replicates). NaN, with the
    reason, with no votes, a single cluster of a kind that is drawn, or without variation.
    n_effective is p(1-p) over the variance of the replicates, n at most. EstimateError on another
    `by`, a level not within (0, 1) or fewer than 100 replicates.
    """
    _check(by, level, replicates)
    table = _Table.of(points, prompt, annotator)
    counts = {"n_prompts": table.shape[0], "n_annotators": table.shape[1]}
    bare = {"estimate": float(np.mean(points)) if len(points) else np.nan, "n": len(points)}
    nothing = {"ci_low": np.nan, "ci_high": np.nan}
    kinds = dict(zip(("prompt", "annotator"), table.shape, strict=True))
    if lone := [kind for kind, number in kinds.items() if by in (kind, "both") and number < 2]:
        reason = f"one {lone[0]}, at least two are needed" if len(points) else "no votes"
        return Result(**bare, **nothing, method=f"no interval: {reason}", **counts)
    drawn = table.shares(by, seed, replicates)
    variance = float(drawn.var())
    if variance < 1e-20:  # zero but for rounding
        return Result(**bare, **nothing, method="no interval: no variation", **counts)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Result(
        **bare,
        ci_low=float(low),
        ci_high=float(high),
        method=f"{METHODS[by]}; {replicates:,} replicates",
        p_value=_two_sided(drawn),
        n_effective=min(float(len(points)), bare["estimate"] * (1 - bare["estimate"]) / variance),
        seed=seed,
        **counts,
    )


def _two_sided(drawn: np.ndarray) -> float:
    """The p-value of 1/2: under alpha exactly when the quantiles at alpha leave it out."""
    tail = min(_reached(np.sort(drawn)), _reached(np.sort(1 - drawn)))
    return min(1.0, max(2 * tail, 2 / (1 + len(drawn))))


def _reached(drawn: np.ndarray) -> float:
    """The highest t in [0, 1] at which the quantile of sorted values is at most 1/2; 0 for none."""
    last = int(np.searchsorted(drawn, 0.5, side="right")) - 1
    if last < 0:
        return 0.0
    if last == len(drawn) - 1:
        return 1.0
    between = (0.5 - drawn[last]) / (drawn[last + 1] - drawn[last])
    return float(last + between) / (len(drawn) - 1)


def _check(by: str, level: float, replicates: int) -> None:
    require_level(level)
    if by not in METHODS:
        raise EstimateError(f"by: found {by}; allowed are {listed(METHODS)}; correct it")
    if replicates < 100:
        raise EstimateError(f"replicates: found {replicates}; allowed is 100 or more; raise it")


def draw_weights(rng: np.random.Generator, clusters: int, replicates: int) -> np.ndarray:
    """How often each cluster is drawn (replicates x clusters), of as many draws as clusters."""
    drawn = rng.integers(clusters, size=(replicates, clusters), dtype=np.int32)
    drawn += (np.arange(replicates, dtype=np.int32) * clusters)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=replicates * clusters)
    return counts.reshape(replicates, clusters).astype(float)


@dataclass(frozen=True)
class _Table:
    """Points and votes of each cell of prompts x annotators that has votes."""

    prompt: np.ndarray
    annotator: np.ndarray
    points: np.ndarray
    votes: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of(cls, points: np.ndarray, prompt: np.ndarray, annotator: np.ndarray) -> "_Table":
        row, n_prompts = dense(prompt)
        column, n_annotators = dense(annotator)
        cell, n_cells = dense(row * n_annotators + column)
        first = np.empty(n_cells, dtype=np.int64)
        first[cell] = np.arange(len(cell))
        won = np.bincount(cell, points, minlength=n_cells)
        votes = np.bincount(cell, minlength=n_cells)
        return cls(row[first], column[first], won, votes, (n_prompts, n_annotators))

    def shares(self, by: str, seed: int, replicates: int) -> np.ndarray:
        """The mean in each replicate; those in which no vote was drawn are left out."""
        rng = np.random.default_rng(seed)
        at_once = max(1, _AT_ONCE // (self.shape[0] + 2 * self.shape[1]))
        parts = []
        for start in range(0, replicates, at_once):
            count = min(at_once, replicates - start)
            weights = [
                draw_weights(rng, number, count) if by in (kind, "both") else None
                for kind, number in zip(("prompt", "annotator"), self.shape, strict=True)
            ]
            parts.append(self._ratio(*weights))
        drawn = np.concatenate(parts)
        return drawn[~np.isnan(drawn)]

    def _ratio(self, by_prompt: np.ndarray | None, by_annotator: np.ndarray | None) -> np.ndarray:
        """Weighted points over weighted votes, NaN for 0 / 0."""
        sums = [
            self._weighted(values, by_prompt, by_annotator) for values in (self.points, self.votes)
        ]
        with np.errstate(invalid="ignore"):
            return sums[0] / sums[1]

    def _weighted(
        self, values: np.ndarray, by_prompt: np.ndarray | None, by_annotator: np.ndarray | None
    ) -> np.ndarray:
        """Sum over cells of value x weight of its prompt x that of its annotator, by replicate."""
        if by_prompt is None:
            return by_annotator @ np.bincount(self.annotator, values, minlength=self.shape[1])
        if by_annotator is None:
            return by_prompt @ np.bincount(self.prompt, values, minlength=self.shape[0])
        cells = csr_array((values, (self.prompt, self.annotator)), shape=self.shape)
        if self.shape[0] * self.shape[1] <= _DENSE * len(values):
            product = by_prompt @ cells.toarray()
        else:
            product = (cells.T @ by_prompt.T).T
        return np.einsum("ij,ij->i", product, by_annotator)
