"""Davidson's model of ties: P(i), P(j), P(tie) are as p_i, p_j, nu sqrt(p_i p_j).

Source: Davidson 1970, On extending the Bradley-Terry model to accommodate ties in paired
comparison experiments; a side effect enters as in Davidson & Beaver 1977.
"""

import numpy as np

from evalkit.analysis.choice_model import ChoiceModel, Terms


def terms(gaps: np.ndarray, tie: float) -> Terms:
    """The terms of gaps (log p_i - log p_j) and t = log nu."""
    weights = np.stack([gaps / 2, -gaps / 2, np.full(len(gaps), tie)])
    log_chance = weights - np.logaddexp.reduce(weights, axis=0)
    won, lost, tied = np.exp(log_chance)
    mean = (won - lost) / 2  # of the derivatives 1/2, -1/2, 0 of the weights by the gap
    ones = np.ones((3, 1))
    return Terms(
        log_chance=log_chance,
        by_gap=np.array([[0.5], [-0.5], [0.0]]) - mean,
        by_tie=np.array([[0.0], [0.0], [1.0]]) - tied,
        gap_gap=ones * (mean**2 - (won + lost) / 4),
        gap_tie=ones * (mean * tied),
        tie_tie=ones * (-tied * (1 - tied)),
    )


def _tie_start(share: float) -> float:
    """log nu of equal models that tie in `share` of the votes: share = nu / (2 + nu)."""
    return float(np.log(2 * share / (1 - share)))


MODEL = ChoiceModel("davidson", "Davidson", terms, _tie_start, without_ties=0.0)
