"""KID: the squared kernel distance (MMD) of two sets of images in Inception's features.

Unbiased at any number of images, and so about 0, or a little below, for two sets of one source.
The kernel is (x.y / d + 1)^3. Over all images, in place of the usual mean over random subsets: the
same in expectation, with less noise and no seed. Source: Binkowski et al. 2018.
"""

import numpy as np

from evalkit.analysis.student import t_quantile
from evalkit.metrics.loading.inception import DEFAULT, InceptionFeatures
from evalkit.metrics.loading.released import identify_released
from evalkit.metrics.registry import Card
from evalkit.study import Study

LEVEL = 0.95
LEAST = 10  # images of a set
CARD = Card(
    kind="set",
    weights=DEFAULT,
    licence="Apache-2.0 (Inception of 2015-12-05)",
    range="about 0 upwards",
    source="Binkowski et al. 2018; clean-fid's resize: Parmar, Zhang & Zhu 2022",
    higher_is_better=False,
)
_AT_ONCE = 1024  # rows of a kernel matrix in memory


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the table."""
    return identify_released(weights, DEFAULT)


def load(weights: str | None, study: Study, device: str | None = None) -> "KernelInceptionDistance":
    """The metric; see `InceptionFeatures` for weights and device. ModelError, one sentence."""
    return KernelInceptionDistance("kid", weights, device)


class KernelInceptionDistance(InceptionFeatures):
    """The unbiased squared MMD of two sets with its jackknife interval."""

    method = (
        "unbiased squared MMD of a cubic kernel in Inception's features, clean-fid's resize; "
        "jackknife over images taken as independent"
    )

    def distance(self, images: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
        """The distance of two tables of features and its 95% interval; see `kernel_distance`.

        Raises ModelError with fewer than 10 images in a set.
        """
        why = "for an interval that means something; make more images"
        self.require_rows(images, "of a model", LEAST, why)
        self.require_rows(reference, "of the reference", LEAST, why)
        return kernel_distance(images, reference)


def kernel_distance(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """The unbiased squared MMD of two tables of rows (n x d, m x d; 3 or more) and its interval.

    The interval is by t on min(n, m) - 1 degrees of freedom and the delete-one jackknife of both
    tables; rows are taken as independent draws. Too wide where both are of one source.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    within, other = _own_sums(first), _own_sums(second)
    across, back = _sums(first, second), _sums(second, first)
    n, m = len(first), len(second)
    value = _mean_of_pairs(within, n) + _mean_of_pairs(other, m) - 2 * across.mean() / m
    variance = _jackknife(within, across, m) + _jackknife(other, back, n)
    half = t_quantile(LEVEL, min(n, m) - 1) * np.sqrt(variance)
    return float(value), float(value - half), float(value + half)


def _mean_of_pairs(sums: np.ndarray, n: int) -> float:
    return float(sums.sum()) / (n * (n - 1))


def _jackknife(within: np.ndarray, across: np.ndarray, others: int) -> float:
    """The part of the variance that comes of one table's rows.

    `within` and `across` are each row's kernel sums with the rest of its table and with the
    `others` rows of the other; a row's leaving takes its pairs twice from the first.
    """
    n = len(within)
    left = (within.sum() - 2 * within) / ((n - 1) * (n - 2))
    left -= 2 * (across.sum() - across) / ((n - 1) * others)
    return float((n - 1) / n * np.sum((left - left.mean()) ** 2))


def _own_sums(rows: np.ndarray) -> np.ndarray:
    """Each row's kernel summed over the other rows (n)."""
    return _sums(rows, rows) - _kernel(np.einsum("ij,ij->i", rows, rows), rows.shape[1])


def _sums(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Each row's kernel summed over `others` (n)."""
    parts = [
        _kernel(rows[start : start + _AT_ONCE] @ others.T, rows.shape[1]).sum(axis=1)
        for start in range(0, len(rows), _AT_ONCE)
    ]
    return np.concatenate(parts)


def _kernel(products: np.ndarray, width: int) -> np.ndarray:
    return (products / width + 1) ** 3
