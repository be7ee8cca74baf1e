"""The meat of a sandwich covariance: vote scores summed in clusters, two ways at once.

Source: Cameron, Gelbach & Miller 2011, Robust inference with multiway clustering.
"""

from dataclasses import dataclass

import numpy as np

from evalkit.analysis.coding import CodedVotes


@dataclass(frozen=True)
class VoteScores:
    """Derivatives of each vote's log-likelihood, n-vectors: by its gap, and by what else is fitted.

    A gap is the first model's strength less the second's, so a strength's derivative is `by_gap`
    where the model stands first and its negative where it stands second.
    """

    by_gap: np.ndarray
    others: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Meat:
    """Sums over clusters of s s', s a cluster's summed scores (p x p), and the cluster counts."""

    prompts: np.ndarray
    annotators: np.ndarray
    cells: np.ndarray
    n_prompts: int
    n_annotators: int
    n_cells: int

    def two_way(self, *, small_sample: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Prompt part + annotator part - cell part, and the cell part: the floor.

        Each part is multiplied by G / (G - 1) for its G clusters unless `small_sample` is off.
        NaN with fewer than two prompts or two annotators.
        """
        counts = (self.n_prompts, self.n_annotators, self.n_cells)
        parts = (self.prompts, self.annotators, self.cells)
        if min(counts) < 2:
            unknown = np.full_like(self.cells, np.nan)
            return unknown, unknown
        if small_sample:
            parts = tuple(p * g / (g - 1) for p, g in zip(parts, counts, strict=True))
        by_prompt, by_annotator, by_cell = parts
        return by_prompt + by_annotator - by_cell, by_cell


def meat(votes: CodedVotes, scores: VoteScores) -> Meat:
    """The meat of coded votes, clustered by prompt, by annotator and by both together."""
    prompt, n_prompts = dense(votes.prompt)
    annotator, n_annotators = dense(votes.annotator)
    cell, n_cells = dense(prompt * n_annotators + annotator)
    return Meat(
        *(
            outer(cluster_sums(votes, scores, codes, count))
            for codes, count in ((prompt, n_prompts), (annotator, n_annotators), (cell, n_cells))
        ),
        n_prompts,
        n_annotators,
        n_cells,
    )


def cluster_sums(
    votes: CodedVotes, scores: VoteScores, codes: np.ndarray, count: int
) -> np.ndarray:
    """Summed scores of each cluster, count x (models + others); `codes` are 0 .. count - 1."""
    width = len(votes.models) + len(scores.others)
    rows = codes * width
    columns = (votes.first, votes.second, *range(len(votes.models), width))
    places = np.concatenate([rows + column for column in columns])
    values = np.concatenate([scores.by_gap, -scores.by_gap, *scores.others])
    return np.bincount(places, values, minlength=count * width).reshape(count, width)


def outer(sums: np.ndarray) -> np.ndarray:
    """Sum over clusters of s s' of their summed scores (clusters x p)."""
    return sums.T @ sums


def dense(codes: np.ndarray) -> tuple[np.ndarray, int]:
    """The codes numbered 0, 1, ... without gaps, and how many different ones there are.

    Counting beats sorting where codes are not many more than votes.
    """
    codes = codes.astype(np.int64, copy=False)
    if not len(codes):
        return codes, 0
    if codes.max() > 8 * len(codes) + 100_000:
        _, inverse = np.unique(codes, return_inverse=True)
        return inverse, int(inverse.max()) + 1
    present = np.bincount(codes) > 0
    if present.all():
        return codes, len(present)
    return (np.cumsum(present) - 1)[codes], int(present.sum())
