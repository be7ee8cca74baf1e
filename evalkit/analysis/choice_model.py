"""What one paired-comparison model says of one vote: chances, and their derivatives."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Terms:
    """The logarithm of the chance of each outcome and its derivatives, each 3 x m.

    The rows are: the first model won, it lost, neither; the columns are matchups. Derivatives are
    by the gap (log-odds) and by the logarithm t of the tie parameter: `by_gap`, `by_tie`, and the
    second ones `gap_gap`, `gap_tie`, `tie_tie`.
    """

    log_chance: np.ndarray
    by_gap: np.ndarray
    by_tie: np.ndarray
    gap_gap: np.ndarray
    gap_tie: np.ndarray
    tie_tie: np.ndarray


@dataclass(frozen=True)
class ChoiceModel:
    """One paired-comparison model: `terms(gaps, t)`, and how it treats ties.

    `tie_start` gives a first t from the share of ties, and is None where a tie counts as half a
    win and half a loss; `without_ties` is the tie parameter that fits votes without a tie.
    """

    name: str
    title: str
    terms: Callable[[np.ndarray, float], Terms]
    tie_start: Callable[[float], float] | None = None
    without_ties: float = float("nan")
