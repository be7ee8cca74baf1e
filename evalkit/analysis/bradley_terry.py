"""Bradley-Terry: strengths from counts by Newton's method, covariance clustered both ways.

Sources: Bradley & Terry 1952; Ford 1957 (when the maximum exists); Cameron, Gelbach & Miller 2011.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from evalkit.analysis.coding import CodedVotes
from evalkit.analysis.intervals import two_way_meat
from evalkit.errors import EstimateError

MAX_STEPS = 100
TOLERANCE = 1e-10  # largest change of a log-odds in the last step


@dataclass(frozen=True)
class BradleyTerry:
    """Fitted strengths: log-odds with mean zero over the models, and their covariances (k x k)."""

    models: tuple[str, ...]
    strengths: np.ndarray
    covariance: np.ndarray
    floor: np.ndarray

    def variance(self, contrast: np.ndarray) -> float:
        """Variance of a contrast of the strengths; never under that of prompt-annotator cells."""
        two_way = contrast @ self.covariance @ contrast
        return float(max(two_way, contrast @ self.floor @ contrast))


def win_matrix(votes: CodedVotes) -> np.ndarray:
    """W[i, j]: points that model i got against model j (k x k, zero diagonal)."""
    size = len(votes.models)
    wins = np.zeros((size, size))
    np.add.at(wins, (votes.first, votes.second), votes.points)
    np.add.at(wins, (votes.second, votes.first), 1 - votes.points)
    return wins


def require_finite(wins: np.ndarray, models: tuple[str, ...]) -> None:
    """EstimateError unless finite strengths exist: every model must be reached from every other
    by a chain of wins (Ford 1957)."""
    if not wins.any():
        raise EstimateError("no finite rating: no votes")
    parts, _ = connected_components(csr_matrix(wins + wins.T), directed=False)
    if parts > 1:
        raise EstimateError(f"no finite rating: models in {parts} groups never compared")
    count, label = connected_components(csr_matrix(wins), directed=True, connection="strong")
    if count == 1:
        return
    for part in range(count):
        inside = label == part
        names = ", ".join(np.array(models)[inside])
        if not wins[np.ix_(~inside, inside)].any():
            raise EstimateError(f"no finite rating: {names} never lost to another")
    raise EstimateError("no finite rating: wins run one way between groups of models")


def fit_strengths(wins: np.ndarray) -> np.ndarray:
    """Maximum-likelihood strengths (log-odds, mean zero) of a win matrix.

    The matrix must allow finite strengths (`require_finite`). EstimateError where Newton's method
    does not converge.
    """
    games = wins + wins.T
    strengths = np.zeros(len(wins))
    for _ in range(MAX_STEPS):
        expected = expit(strengths[:, None] - strengths[None, :])
        gradient = (wins - games * expected).sum(axis=1)
        step = np.linalg.pinv(information(games, expected)) @ gradient
        largest = np.abs(step).max()
        strengths = strengths + step / max(1.0, largest)  # a log-odds moves by one at most
        if largest < TOLERANCE:
            return strengths - strengths.mean()
    raise EstimateError(f"no rating: not converged after {MAX_STEPS} steps")


def information(games: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Fisher information of the strengths (k x k, rows sum to zero)."""
    weights = games * expected * (1 - expected)
    return np.diag(weights.sum(axis=1)) - weights


def fit(votes: CodedVotes, *, small_sample: bool = True) -> BradleyTerry:
    """Strengths of all models with their two-way clustered sandwich covariance.

    Ties count half. Raises EstimateError where no finite strengths exist. With fewer than two
    prompts or two annotators the covariance is NaN.
    """
    wins = win_matrix(votes)
    require_finite(wins, votes.models)
    strengths = fit_strengths(wins)
    expected = expit(strengths[:, None] - strengths[None, :])
    bread = np.linalg.pinv(information(wins + wins.T, expected))
    if min(votes.n_prompts, votes.n_annotators) < 2:
        unknown = np.full_like(bread, np.nan)
        return BradleyTerry(votes.models, strengths, unknown, unknown)
    residuals = votes.points - expected[votes.first, votes.second]
    scores = np.zeros((votes.n, len(votes.models)))
    rows = np.arange(votes.n)
    scores[rows, votes.first] = residuals
    scores[rows, votes.second] = -residuals
    meat, floor = two_way_meat(scores, votes.prompt, votes.annotator, small_sample=small_sample)
    return BradleyTerry(votes.models, strengths, bread @ meat @ bread, bread @ floor @ bread)
