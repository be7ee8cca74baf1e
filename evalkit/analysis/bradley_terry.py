"""Bradley-Terry: the chances of a vote, and strengths of one or many tables of wins.

Source: Bradley & Terry 1952, Rank analysis of incomplete block designs I.
"""

import numpy as np
from scipy.special import expit, log_expit

from evalkit.analysis.choice_model import ChoiceModel, Terms
from evalkit.errors import EstimateError

MAX_STEPS = 100
TOLERANCE = 1e-10  # largest change of a log-odds in the last step


def terms(gaps: np.ndarray, tie: float) -> Terms:
    """The terms of gaps (log-odds of winning); a tie is half a win and half a loss."""
    won, log_won, log_lost = expit(gaps), log_expit(gaps), log_expit(-gaps)
    nothing = np.zeros((3, len(gaps)))
    return Terms(
        log_chance=np.stack([log_won, log_lost, (log_won + log_lost) / 2]),
        by_gap=np.array([[1.0], [0.0], [0.5]]) - won,
        by_tie=nothing,
        gap_gap=np.ones((3, 1)) * (-won * (1 - won)),
        gap_tie=nothing,
        tie_tie=nothing,
    )


MODEL = ChoiceModel("bradley-terry", "Bradley-Terry", terms)


def fit_strengths(wins: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Maximum-likelihood strengths (... x k log-odds, mean zero) of tables of wins (... x k x k).

    `wins[..., i, j]` are the points that i got against j. Each table must allow finite strengths
    (`finite.is_finite`). `start` are strengths to begin at, zero by default. All tables are fitted
    at once by Newton's method; EstimateError where one does not converge.
    """
    size = wins.shape[-1]
    games = wins + np.swapaxes(wins, -1, -2)
    strengths = np.zeros(wins.shape[:-1]) if start is None else start + np.zeros(wins.shape[:-1])
    for _ in range(MAX_STEPS):
        expected = expit(strengths[..., :, None] - strengths[..., None, :])
        gradient = (wins - games * expected).sum(axis=-1)
        weights = games * expected * (1 - expected)
        # The ones make it regular and change no step, for the gradient sums to zero.
        hessian = np.eye(size) * weights.sum(axis=-1)[..., None] - weights
        scale = np.trace(hessian, axis1=-2, axis2=-1)[..., None, None] / size
        step = np.linalg.solve(hessian + scale / size, gradient[..., None])[..., 0]
        largest = np.abs(step).max(axis=-1, initial=0.0, keepdims=True)
        strengths = strengths + step / np.maximum(1.0, largest)  # a log-odds moves by 1 at most
        if largest.max(initial=0.0) < TOLERANCE:
            return strengths - strengths.mean(axis=-1, keepdims=True)
    raise EstimateError(f"no rating: not converged after {MAX_STEPS} steps")
