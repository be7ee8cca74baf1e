"""Rao and Kupper's model of ties: P(i beats j) = p_i / (p_i + theta p_j), theta >= 1.

Source: Rao & Kupper 1967, Ties in paired-comparison experiments: a generalization of the
Bradley-Terry model. The log-likelihood is concave in strengths and log theta (Pratt 1981).
"""

import numpy as np
from scipy.special import expit, log_expit

from evalkit.analysis.choice_model import ChoiceModel, Terms


def terms(gaps: np.ndarray, tie: float) -> Terms:
    """The terms of gaps (log p_i - log p_j) and t = log theta; NaN where theta is not over 1.

    P(tie) = 1 - P(i) - P(j) = (theta^2 - 1) P(i) P(j).
    """
    if tie <= 0:
        unknown = np.full((3, len(gaps)), np.nan)
        return Terms(*[unknown] * 6)
    won, lost = expit(gaps - tie), expit(-gaps - tie)
    log_won, log_lost = log_expit(gaps - tie), log_expit(-gaps - tie)
    won2, lost2 = won * (1 - won), lost * (1 - lost)
    growth = -2 / np.expm1(-2 * tie)  # derivative of log(theta^2 - 1) by t
    bend = growth * (2 - growth)  # and its derivative
    return Terms(
        log_chance=np.stack([log_won, log_lost, log_won + log_lost + _log_expm1(2 * tie)]),
        by_gap=np.stack([1 - won, lost - 1, lost - won]),
        by_tie=np.stack([won - 1, lost - 1, growth - 2 + won + lost]),
        gap_gap=np.stack([-won2, -lost2, -won2 - lost2]),
        gap_tie=np.stack([won2, -lost2, won2 - lost2]),
        tie_tie=np.stack([-won2, -lost2, bend - won2 - lost2]),
    )


def _log_expm1(value: float) -> float:
    return float(value + np.log(-np.expm1(-value)))


def _tie_start(share: float) -> float:
    """log theta of equal models that tie in `share` of votes: share = (theta-1) / (theta+1)."""
    return float(np.log((1 + share) / (1 - share)))


MODEL = ChoiceModel("rao-kupper", "Rao-Kupper", terms, _tie_start, without_ties=1.0)
