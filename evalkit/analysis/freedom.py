"""Degrees of freedom of contrasts of ratings: how many equal clusters each one rests on."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

LEAST = 0.5  # degrees of freedom under which a t interval is too wide (t over 160) to be of use

Together = np.ndarray | csr_array


@dataclass(frozen=True)
class Compared:
    """How often k models were compared, by m pairs, and how unequal the clusters of the votes are.

    `first` and `second` index the models of a pair, `counts` are its votes. `by_prompt` and
    `by_annotator` (m x m) are the sums over clusters of c c', c a cluster's votes by pair.
    `n_prompts` and `n_annotators` (k) count the clusters in which each model was compared.
    """

    first: np.ndarray
    second: np.ndarray
    counts: np.ndarray
    by_prompt: Together
    by_annotator: Together
    n_prompts: np.ndarray
    n_annotators: np.ndarray

    @property
    def votes(self) -> np.ndarray:
        """Votes that each model was compared in."""
        size = len(self.n_prompts)
        own = np.bincount(self.first, self.counts, size) + np.bincount(
            self.second, self.counts, size
        )
        return own.astype(int)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of what rests on all votes alike: n^2 / sum n_g^2 - 1, the smaller."""
        n = float(self.counts.sum())
        return min(n**2 / float(kind.sum()) for kind in self._kinds) - 1

    def freedom_of(self, contrasts: np.ndarray, bread: np.ndarray) -> np.ndarray:
        """Degrees of freedom of r contrasts of the strengths (r x k): effective clusters, less one.

        `bread` (k x k or larger) is the inverse information. A vote on the pair p moves a contrast
        by a_p; a cluster with n_gp such votes has the weight w_g = sum_p |a_p| n_gp. Effective
        clusters are (sum w)^2 / sum w^2, n^2 / sum n_g^2 where all votes weigh alike; at most those
        of Satterthwaite (1946), who lets parts with few clusters weigh by their share of the
        variance: 1 / sum_p s_p^2 / G_p, s_p in proportion to sum_g (a_p n_gp)^2 and G_p = n_p^2 /
        sum_g n_gp^2. Of prompts and annotators the smaller. NaN of a contrast that is 0.
        """
        size = contrasts.shape[1]
        moved = contrasts @ bread[:size, :size]
        weights = np.abs(moved[:, self.first] - moved[:, self.second])
        kinds = [_effective(weights, self.counts, kind) for kind in self._kinds]
        return np.minimum(*kinds) - 1

    def of_ratings(self, bread: np.ndarray) -> np.ndarray:
        """Those of each rating, a strength less the mean of all; 0 where one cluster judged it."""
        size = len(self.n_prompts)
        return np.where(self._judged, self.freedom_of(np.eye(size) - 1 / size, bread), 0.0)

    def of_differences(self, bread: np.ndarray) -> np.ndarray:
        """Those of all differences of two strengths (k x k); 0 where one cluster judged either."""
        each = np.eye(len(self.n_prompts))
        found = np.zeros(each.shape)
        for model in range(len(each) - 1):  # one at a time: all pairs of pairs may be too many
            later = slice(model + 1, None)
            found[model, later] = self.freedom_of(each[model] - each[later], bread)
        return np.where(self._judged[:, None] & self._judged[None, :], found + found.T, 0.0)

    @property
    def _kinds(self) -> tuple[Together, Together]:
        return self.by_prompt, self.by_annotator

    @property
    def _judged(self) -> np.ndarray:
        return np.minimum(self.n_prompts, self.n_annotators) >= 2


def _effective(weights: np.ndarray, counts: np.ndarray, together: Together) -> np.ndarray:
    """Effective clusters of r contrasts, from the weights of a vote (r x m) and m counts."""
    own = together.diagonal()
    variances = weights**2 * own
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = (weights @ counts) ** 2 / ((weights @ together) * weights).sum(axis=1)
        shares = variances / variances.sum(axis=1, keepdims=True)
        by_parts = 1 / (shares**2 @ (own / counts**2))
    return np.minimum(whole, by_parts)
