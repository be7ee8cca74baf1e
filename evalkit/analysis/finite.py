"""Whether finite ratings exist: nothing is fitted to votes whose likelihood has no maximum.

Sources: Ford 1957 (a chain of wins from every model to every other); Albert & Anderson 1984 and
Konis 2007 (separation, found by a linear programme) where ties or sides have a parameter.
"""

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from evalkit.analysis.matchups import Matchups
from evalkit.errors import EstimateError

_SLACK = 1e-7


def require_finite(
    matchups: Matchups, *, ties: bool = False, position: bool = False, prior: bool = False
) -> None:
    """EstimateError, with the reason, unless all parameters have finite estimates.

    `ties` and `position` say that ties and sides have a parameter of their own. A `prior` holds
    strengths within bounds where no loss does, but compares no models that votes do not connect.
    """
    require_connected(matchups.wins, matchups.models)
    if not prior:
        require_chain(matchups.wins, matchups.models)
    if ties and not (matchups.won + matchups.lost).any():
        raise EstimateError("no finite rating: every vote is a tie")
    if position:
        _require_sides(matchups)
    if ties or position:
        _require_contradiction(matchups, ties, position, prior)


def require_connected(wins: np.ndarray, models: tuple[str, ...]) -> None:
    """EstimateError unless there are votes and they connect all models."""
    if not wins.any():
        raise EstimateError("no finite rating: no votes")
    parts, _ = connected_components(csr_matrix(wins + wins.T), directed=False)
    if parts > 1:
        raise EstimateError(f"no finite rating: models in {parts} groups never compared")


def require_chain(wins: np.ndarray, models: tuple[str, ...]) -> None:
    """EstimateError unless every model is reached from every other by a chain of wins."""
    found, label = connected_components(csr_matrix(wins), directed=True, connection="strong")
    if found == 1:
        return
    for part in range(found):
        inside = label == part
        names = ", ".join(np.array(models)[inside])
        if not wins[np.ix_(~inside, inside)].any():
            raise EstimateError(f"no finite rating: {names} never lost to another")
    raise EstimateError("no finite rating: wins run one way between groups of models")


def is_finite(wins: np.ndarray) -> np.ndarray:
    """Whether finite strengths exist, for each of many tables of wins (... x k x k)."""
    size = wins.shape[-1]
    reached = ((wins > 0) | np.eye(size, dtype=bool)).astype(np.float32)
    for _ in range(max(1, int(np.ceil(np.log2(size))))):  # paths of 1, 2, 4, ... wins
        reached = (reached @ reached > 0).astype(np.float32)
    return reached.all(axis=(-1, -2))


def _require_sides(matchups: Matchups) -> None:
    if not matchups.left.all():
        raise EstimateError("no position effect: the side of some votes is unknown")
    design = np.column_stack([matchups.gaps, matchups.left])
    if np.linalg.matrix_rank(design) < matchups.size:  # k - 1 differences and the effect
        raise EstimateError("no position effect: it cannot be told from the models' strengths")


def _require_contradiction(matchups: Matchups, ties: bool, position: bool, prior: bool) -> None:
    """EstimateError where a direction of the parameters agrees with every vote.

    Going that way without end never lowers the likelihood, so it has no maximum. A direction is
    (strengths, log of the tie parameter, position effect); a win agrees where the gap of its
    direction is not negative and not under the tie's, a tie where the gap lies within the tie's.
    """
    gap, none = matchups.gaps, np.zeros((len(matchups.first), 1))
    side = matchups.left[:, None] if position else none
    ahead = np.hstack([gap, none, side])
    tie = np.zeros(ahead.shape[1])
    tie[matchups.size] = 1
    won, lost, tied = matchups.won > 0, matchups.lost > 0, matchups.tied > 0
    agrees = [ahead[won], -ahead[lost]]
    if ties:
        agrees += [ahead[won] - tie, -ahead[lost] - tie, tie - ahead[tied], tie + ahead[tied]]
    else:
        agrees += [ahead[tied], -ahead[tied]]
    rows = np.vstack(agrees)
    free = [(0, 0) if prior else (-1, 1)] * matchups.size
    bounds = [*free, (-1, 1) if ties else (0, 0), (-1, 1) if position else (0, 0)]
    found = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=bounds)
    if not found.success:
        raise RuntimeError(f"the search for separation did not end: {found.message}")
    if -found.fun > _SLACK:
        raise EstimateError(f"no finite rating: {_agreement(found.x, matchups.models)}")


def _agreement(direction: np.ndarray, models: tuple[str, ...]) -> str:
    strengths, side = direction[: len(models)], direction[-1]
    order = ", ".join(models[i] for i in np.argsort(-strengths, kind="stable"))
    if abs(side) <= _SLACK:
        return f"no vote goes against the order {order}"
    image = "left" if side > 0 else "right"
    if np.ptp(strengths) <= _SLACK:
        return f"no vote goes against the {image} image"
    return f"no vote goes against the {image} image and the order {order}"
