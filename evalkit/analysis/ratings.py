"""Ratings per question: log-odds with clustered intervals, on the Elo scale too, and ranks."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from evalkit import tables
from evalkit.analysis.coding import CodedVotes, encode
from evalkit.analysis.counting import counting, labelled
from evalkit.analysis.freedom import LEAST, Compared, Together
from evalkit.analysis.intervals import require_level
from evalkit.analysis.paired_models import Fit, fit, require_prior
from evalkit.analysis.ranks import METHOD as RANK_METHOD
from evalkit.analysis.ranks import NOTHING, ranks
from evalkit.analysis.result import LEVEL
from evalkit.analysis.sandwich import dense
from evalkit.analysis.student import t_quantile
from evalkit.analysis.ties import RULES
from evalkit.errors import EstimateError, listed

TIES = {
    "half": RULES["half"],
    "drop": RULES["drop"],
    "model": "ties and both_bad as an outcome of their own",
}
TIE_COLUMNS = {"half": (), "drop": (), "model": ("tie_parameter",)}
POSITION_COLUMNS = ("position_effect", "position_low", "position_high")
MODEL_OF = {"half": "bradley-terry", "drop": "bradley-terry", "model": "davidson"}
ELO_PER_LOG_ODDS = 400 / np.log(10)
ELO_START = 1000
_DENSE = 2000  # pairs of models up to which their table is kept dense, for speed
NUMBERS = (
    "rating", "se", "ci_low", "ci_high", "elo", "elo_low", "elo_high", "rank_low", "rank_high",
)  # fmt: skip


def ratings(
    comparisons: pd.DataFrame,
    *,
    ties: str = "half",
    position: bool = False,
    prior: float | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """One row per question and model (`tables.RATINGS`), best first within a question.

    `rating` is a log-odds with mean zero over the models, `se` its standard error, `elo` =
    1000 + rating * 400 / ln 10; both have intervals at `level`. `rank_low`..`rank_high` are the
    ranks that simultaneous comparisons leave open, and `tied_for_first` says that no model was
    shown to be better (`ranks.ranks`). `n` counts the model's comparisons.

    `ties` is "half" (Bradley-Terry, ties and both_bad half), "drop" (Bradley-Terry without them)
    or "model" (Davidson; column tie_parameter is its nu). With `position` an effect of the side is
    fitted (columns position_effect, position_low, position_high: a log-odds for the left image).
    `prior` is the standard deviation of a normal prior on the log-odds; none by default.

    Where no finite ratings exist the numbers are NaN, `converged` is false and `method` says why;
    so with an interval that cannot be estimated. Only comparisons of kind main count, where kinds
    are given, and none that is excluded. No comparisons give an empty table. EstimateError on an
    unknown rule for ties, a prior that is no standard deviation and a level that is no share.

    Sources: Bradley & Terry 1952; Davidson 1970; Cameron, Gelbach & Miller 2011 (covariance).
    """
    if ties not in TIES:
        raise EstimateError(f"ties: found {ties}; allowed are {listed(TIES)}; correct it")
    require_prior(prior)
    require_level(level)
    rows = []
    for question_id, asked in counting(comparisons).groupby("question_id", sort=True):
        votes = encode(asked)
        if ties == "drop":
            votes = votes.take(votes.is_decided)
        rated = _rate(votes, ties, position, prior, level)
        rows += [{"question_id": question_id, **row} for row in rated]
    frame = pd.DataFrame(rows) if rows else tables.RATINGS.empty()
    for column in (*TIE_COLUMNS[ties], *(POSITION_COLUMNS if position else ())):
        if column not in frame:  # of questions none of which could be rated
            frame[column] = np.nan
    return labelled(tables.check(frame, tables.RATINGS, "ratings"), comparisons)


def rating_rows(
    fitted: Fit, compared: Compared, *, ties: str = "half", level: float = LEVEL
) -> list[dict[str, Any]]:
    """The rows of one fit without their question, best first."""
    size = len(fitted.models)
    left_open = ranks(fitted, compared.of_differences(fitted.bread), level=level)
    freedoms = compared.of_ratings(fitted.bread)
    shared = _shared_columns(fitted, compared, ties, level)
    rows = []
    for model in np.argsort(-fitted.strengths, kind="stable"):
        rating, freedom = float(fitted.strengths[model]), float(freedoms[model])
        error = _error(fitted, np.eye(size)[model] - 1 / size, freedom)
        half = _quantile(freedom, level) * error
        bounds = (rating - half, rating + half)
        elo = [ELO_START + ELO_PER_LOG_ODDS * value for value in (rating, *bounds)]
        known = not np.isnan(error)
        rank = (left_open.low[model], left_open.high[model])
        ranked = not np.isnan(rank[0])
        clauses = [] if known else [_no_interval(compared, model, freedom)]
        clauses += [fitted.method, TIES[ties], *([RANK_METHOD] if ranked else [])]
        rows.append(
            {
                "model": fitted.models[model],
                **dict(zip(NUMBERS, (rating, error, *bounds, *elo, *rank), strict=True)),
                **shared,
                "tied_for_first": bool(left_open.tied_for_first[model]) if ranked else None,
                "n": int(compared.votes[model]),
                "method": "; ".join(clauses),
                "converged": fitted.converged,
            }
        )
    return rows


def unrated_rows(
    models: tuple[str, ...], counts: np.ndarray, reason: str, *, ties: str = "half"
) -> list[dict[str, Any]]:
    """The rows of models that have no rating, for a reason; `counts` are each one's votes."""
    unknown = {**dict.fromkeys(NUMBERS, np.nan), "tied_for_first": None}
    method = f"{reason}; {TIES[ties]}"
    return [
        {"model": model, **unknown, "n": int(n), "method": method, "converged": False}
        for model, n in zip(models, counts, strict=True)
    ]


def _rate(
    votes: CodedVotes, ties: str, position: bool, prior: float | None, level: float
) -> list[dict[str, Any]]:
    compared = _compared(votes)
    try:
        fitted = fit(votes, MODEL_OF[ties], position, prior)
    except EstimateError as error:
        return unrated_rows(votes.models, compared.votes, str(error), ties=ties)
    return rating_rows(fitted, compared, ties=ties, level=level)


def _compared(votes: CodedVotes) -> Compared:
    size = len(votes.models)
    named, pair = np.unique(votes.first.astype(np.int64) * size + votes.second, return_inverse=True)
    first, second = np.divmod(named, max(1, size))
    kinds = [_by_pair(codes, pair, len(named)) for codes in (votes.prompt, votes.annotator)]
    sides = csr_array(
        (np.ones(2 * len(named)), (np.tile(np.arange(len(named)), 2), np.append(first, second))),
        shape=(len(named), size),
    )
    return Compared(
        first,
        second,
        np.bincount(pair, minlength=len(named)),
        *(_together(kind) for kind in kinds),
        *(np.asarray(((kind @ sides) > 0).sum(axis=0)).ravel() for kind in kinds),
    )


def _together(kind: csr_array) -> Together:
    """Sum over clusters of c c', c a cluster's votes by pair; sparse where it would be large."""
    squares = kind.T @ kind
    return squares.toarray() if len(squares.diagonal()) <= _DENSE else squares


def _by_pair(codes: np.ndarray, pair: np.ndarray, pairs: int) -> csr_array:
    """How many votes on each pair a cluster has, a row per cluster."""
    cluster, count = dense(codes)
    cells, cell = np.unique(cluster * pairs + pair, return_inverse=True)
    places = np.divmod(cells, max(1, pairs))
    return csr_array((np.bincount(cell).astype(float), places), shape=(count, pairs))


def _no_interval(compared: Compared, model: int, freedom: float) -> str:
    if compared.n_annotators[model] < 2:
        return "no interval: one annotator, two are needed"
    if compared.n_prompts[model] < 2:
        return "no interval: one prompt, two are needed"
    if freedom < LEAST:
        return "no interval: it rests on nearly one annotator or prompt alone"
    return "no interval: the votes show no variation"


def _error(fitted: Fit, contrast: np.ndarray, freedom: float) -> float:
    """Standard error of a contrast; NaN without freedom, or where nothing varied."""
    variance = fitted.variance(contrast)
    return float(np.sqrt(variance)) if freedom >= LEAST and variance > NOTHING else float("nan")


def _quantile(freedom: float, level: float) -> float:
    return t_quantile(level, freedom) if freedom >= LEAST else float("nan")


def _shared_columns(fitted: Fit, compared: Compared, ties: str, level: float) -> dict[str, float]:
    """What all models of a fit have in common: tie parameter and position effect, where fitted."""
    columns = dict.fromkeys(TIE_COLUMNS[ties], fitted.tie_parameter)
    if not np.isnan(fitted.position_effect):
        half = _quantile(compared.freedom, level) * fitted.position_se
        effect = fitted.position_effect
        columns |= dict(zip(POSITION_COLUMNS, (effect, effect - half, effect + half), strict=True))
    return columns
