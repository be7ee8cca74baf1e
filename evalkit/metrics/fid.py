"""FID: the Frechet distance of two sets of images, as clean-fid resizes and Inception sees them.

The distance of two Gaussians with the means and covariances of the features; 0 for two sets with
the same. It depends on the number of images (fewer give more), so two values compare only with as
many images and the same reference. Source: Heusel et al. 2017; Parmar, Zhang & Zhu 2022.
"""

import numpy as np

from evalkit.metrics.loading.inception import DEFAULT, InceptionFeatures
from evalkit.metrics.loading.released import identify_released
from evalkit.metrics.registry import Card
from evalkit.study import Study

CARD = Card(
    kind="set",
    weights=DEFAULT,
    licence="Apache-2.0 (Inception of 2015-12-05)",
    range="0 upwards",
    source="Heusel et al. 2017; clean-fid's resize: Parmar, Zhang & Zhu 2022",
    higher_is_better=False,
)


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the table."""
    return identify_released(weights, DEFAULT)


def load(
    weights: str | None, study: Study, device: str | None = None
) -> "FrechetInceptionDistance":
    """The metric; see `InceptionFeatures` for weights and device. ModelError, one sentence."""
    return FrechetInceptionDistance("fid", weights, device)


class FrechetInceptionDistance(InceptionFeatures):
    """The Frechet distance of two sets; without an interval, since its bias depends on n."""

    method = "Frechet distance of Gaussians in Inception's features, clean-fid's resize"

    def distance(self, images: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
        """The distance of two tables of features (n x d, m x d), and NaN bounds.

        Raises ModelError where a set has no more images than features: its covariance has no
        full rank then, and the distance says more about n than about the images.
        """
        width = images.shape[1]
        why = f"more than the {width:,} features; make more images, or use kid, which needs fewer"
        self.require_rows(images, "of a model", width + 1, why)
        self.require_rows(reference, "of the reference", width + 1, why)
        return frechet_distance(images, reference), float("nan"), float("nan")


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The Frechet distance of the Gaussians of two tables of rows (n x d, m x d; n, m over 1).

    With S = X'X of centred rows X / sqrt(n - 1), the trace of (S T)^(1/2) is the sum of the
    singular values of X Y'. The triangles of QR factors stand for X and Y here: no root of a
    matrix that is nearly singular is drawn.
    """
    (mean, root), (other_mean, other_root) = _moments(first), _moments(second)
    shared = np.linalg.norm(root @ other_root.T, "nuc")
    apart = np.sum((mean - other_mean) ** 2)
    distance = apart + np.sum(root**2) + np.sum(other_root**2) - 2 * shared
    return max(0.0, float(distance))  # below zero by rounding only


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d) and a root R of the unbiased covariance R'R."""
    rows = rows.astype(np.float64)
    mean = rows.mean(axis=0)
    return mean, np.linalg.qr((rows - mean) / np.sqrt(len(rows) - 1), mode="r")
