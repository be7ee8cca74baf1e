"""Votes summed over the clusters that they share: all that the variance of a mean needs of them."""

from dataclasses import dataclass

import numpy as np

from evalkit.analysis.sandwich import dense


@dataclass(frozen=True)
class ClusterSums:
    """Sums over `count` clusters of S^2, S N and N^2: S points in a cluster, N votes."""

    ss: float
    sn: float
    nn: float
    count: int

    def meat(self, share: float) -> float:
        """Sum over clusters of (S - share N)^2; zero where it is nothing but rounding."""
        meat = self.ss - 2 * share * self.sn + share**2 * self.nn
        return meat if meat > 1e-12 * self.nn else 0.0

    def corrected(self, share: float) -> float:
        """The meat times G / (G - 1) for G clusters; NaN with fewer than two."""
        if self.count < 2:
            return float("nan")
        return self.meat(share) * self.count / (self.count - 1)

    def effective(self, votes: int) -> float:
        """How many clusters of equal size so many votes are worth: n^2 / sum N^2, at most `count`.

        Exactly `count` where all clusters have as many votes; 1 of a single one. NaN without votes.
        """
        return votes**2 / self.nn if votes else float("nan")

    def with_one_won(self, votes: float) -> "ClusterSums":
        """The same of a table without points, after one win in a cluster that has so many votes."""
        return ClusterSums(1.0, float(votes), self.nn, self.count)


@dataclass(frozen=True)
class ShareSums:
    """`total` points in `n` votes, and their sums over prompts, annotators and both (cells).

    `decided` counts the votes that are not half a point to each.
    `heaviest` is for tables where nobody dissents: the votes of the annotator, of the prompt and of
    the cell of the dissent that would weigh most, which is one of the annotator with most votes,
    and of theirs one on the prompt with most. It may be zeros for other tables.
    """

    n: int
    total: float
    decided: int
    prompts: ClusterSums
    annotators: ClusterSums
    cells: ClusterSums
    heaviest: tuple[int, int, int]

    @property
    def share(self) -> float:
        """The mean of the points; NaN without votes."""
        return self.total / self.n if self.n else float("nan")


def share_sums(points: np.ndarray, prompt: np.ndarray, annotator: np.ndarray) -> ShareSums:
    """The sums of `points` (n values in [0, 1]) with n prompt codes and n annotator codes."""
    prompt, n_prompts = dense(prompt)
    annotator, n_annotators = dense(annotator)
    cell, n_cells = dense(prompt * n_annotators + annotator)
    counted = [
        (np.bincount(codes, points, minlength=count), np.bincount(codes, minlength=count))
        for codes, count in ((prompt, n_prompts), (annotator, n_annotators), (cell, n_cells))
    ]
    prompts, annotators, cells = (_squares(won, votes) for won, votes in counted)
    heaviest = (0, 0, 0)
    if len(points) and points.min() == points.max():
        by_prompt, by_annotator, by_cell = (votes for _, votes in counted)
        weights = np.stack([by_annotator[annotator], by_prompt[prompt], by_cell[cell]])
        heaviest = tuple(weights[:, np.lexsort(weights[::-1])[-1]].tolist())
    return ShareSums(
        n=len(points),
        total=float(points.sum()),
        decided=int((points != 0.5).sum()),
        prompts=prompts,
        annotators=annotators,
        cells=cells,
        heaviest=heaviest,
    )


def _squares(points: np.ndarray, votes: np.ndarray) -> ClusterSums:
    return ClusterSums(
        ss=float(points @ points),
        sn=float(points @ votes),
        nn=float(votes @ votes),
        count=len(votes),
    )
