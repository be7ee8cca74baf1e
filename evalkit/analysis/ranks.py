"""The ranks that simultaneous comparisons of all models leave open.

Source: Mogstad, Romano, Shaikh & Wilhelm 2024, Inference for ranks; Holm 1979.
"""

from dataclasses import dataclass

import numpy as np

from evalkit.analysis.freedom import LEAST
from evalkit.analysis.paired_models import Fit
from evalkit.analysis.result import LEVEL
from evalkit.analysis.significance import holm
from evalkit.analysis.student import t_tail

METHOD = "ranks by Holm over all pairs and both directions"
NOTHING = 1e-20  # a variance that is zero but for rounding: nothing varied


@dataclass(frozen=True)
class Ranks:
    """The lowest and highest rank that each of k models may have; 1 is the best.

    With probability `level` all true ranks lie within at once. NaN where a model has no interval.
    """

    low: np.ndarray
    high: np.ndarray
    level: float

    @property
    def tied_for_first(self) -> np.ndarray:
        """Whether no model was shown to be better; where true of one model only, it is first."""
        return self.low == 1


def ranks(fit: Fit, freedom: np.ndarray, *, level: float = LEVEL) -> Ranks:
    """The ranks of a fit's models, by one-sided t tests of all ordered pairs.

    `freedom` (k x k) are the degrees of freedom of each difference (`freedom.of_differences`).
    Holm's step-down over the k (k - 1) tests keeps the chance of a single wrong direction, with any
    dependence, at 1 - `level`. A pair that cannot be tested (no freedom, no variation) is open.
    """
    strengths, variances = fit.strengths, fit.difference_variances()
    off = ~np.eye(len(strengths), dtype=bool)
    testable = off & (freedom >= LEAST) & (variances > NOTHING)
    statistic = (strengths[:, None] - strengths[None, :])[testable] / np.sqrt(variances[testable])
    p_values = np.full(testable.shape, np.nan)
    p_values[testable] = t_tail(statistic, freedom[testable])
    better = holm(p_values.ravel()).reshape(testable.shape) <= 1 - level  # NaN is not
    low = 1.0 + better.sum(axis=0)
    high = len(strengths) - better.sum(axis=1).astype(float)
    unknown = ~testable.any(axis=1)
    return Ranks(np.where(unknown, np.nan, low), np.where(unknown, np.nan, high), level)
