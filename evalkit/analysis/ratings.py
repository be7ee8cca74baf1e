"""Ratings per question: Bradley-Terry log-odds with clustered intervals, and rank ranges."""

import numpy as np
import pandas as pd
from scipy import stats

from evalkit import tables
from evalkit.analysis.bradley_terry import BradleyTerry, fit
from evalkit.analysis.coding import CodedVotes, encode
from evalkit.analysis.intervals import LEVEL
from evalkit.analysis.win_rates import TIE_RULE, main_only
from evalkit.errors import EstimateError

METHOD = f"Bradley-Terry, two-way (prompt x annotator) sandwich, t; {TIE_RULE}"
ELO_PER_LOG_ODDS = 400 / np.log(10)


def ratings(comparisons: pd.DataFrame) -> pd.DataFrame:
    """One row per question and model (`tables.RATINGS`), best first within a question.

    `rating` is a log-odds with mean zero over the models, `elo` = 1000 + rating * 400 / ln 10, the
    interval is of `rating`. `rank_low`..`rank_high` are the ranks that pairwise differences,
    Bonferroni-corrected over the pairs, leave open. `n` counts the model's comparisons. Where no
    finite ratings exist the numbers are NaN, `converged` is false and `method` says why.
    """
    comparisons = main_only(comparisons)
    rows = []
    for question_id, asked in comparisons.groupby("question_id", sort=True):
        rows += [{"question_id": question_id, **row} for row in _rate(encode(asked))]
    frame = pd.DataFrame(rows) if rows else tables.RATINGS.empty()
    return tables.check(frame, tables.RATINGS, "ratings")


def _rate(votes: CodedVotes) -> list[dict[str, object]]:
    counts = np.bincount(np.concatenate([votes.first, votes.second]), minlength=len(votes.models))
    try:
        fitted = fit(votes)
    except EstimateError as error:
        return [
            _unrated(name, int(n), str(error)) for name, n in zip(votes.models, counts, strict=True)
        ]
    freedom = [_freedom(votes, model) for model in range(len(votes.models))]
    ranks = _rank_ranges(fitted, freedom)
    rows = []
    for model in np.argsort(-fitted.strengths, kind="stable"):
        rating = float(fitted.strengths[model])
        half = _half_width(fitted, _centred(model, len(counts)), freedom[model], 1 - LEVEL)
        rows.append(
            {
                "model": votes.models[model],
                "rating": rating,
                "ci_low": rating - half,
                "ci_high": rating + half,
                "elo": 1000 + rating * ELO_PER_LOG_ODDS,
                "rank_low": ranks[model][0],
                "rank_high": ranks[model][1],
                "n": int(counts[model]),
                "method": METHOD
                if np.isfinite(half)
                else f"{METHOD}; {_no_interval(votes, model)}",
                "converged": True,
            }
        )
    return rows


def _of_model(votes: CodedVotes, model: int) -> CodedVotes:
    return votes.take((votes.first == model) | (votes.second == model))


def _freedom(votes: CodedVotes, model: int) -> int:
    """Degrees of freedom of one model's rating: the smaller of its two cluster counts, less 1."""
    own = _of_model(votes, model)
    return min(own.n_prompts, own.n_annotators) - 1


def _unrated(model: str, n: int, reason: str) -> dict[str, object]:
    numbers = ("rating", "ci_low", "ci_high", "elo", "rank_low", "rank_high")
    unknown = dict.fromkeys(numbers, np.nan)
    return {"model": model, **unknown, "n": n, "method": reason, "converged": False}


def _no_interval(votes: CodedVotes, model: int) -> str:
    own = _of_model(votes, model)
    if own.n_annotators < 2:
        return "no interval: one annotator, two are needed"
    if own.n_prompts < 2:
        return "no interval: one prompt, two are needed"
    return "no interval: the votes show no variation"


def _centred(model: int, size: int) -> np.ndarray:
    """The contrast of one model against the mean of all."""
    contrast = np.full(size, -1 / size)
    contrast[model] += 1
    return contrast


def _half_width(fitted: BradleyTerry, contrast: np.ndarray, freedom: int, alpha: float) -> float:
    if freedom < 1:
        return float("nan")
    variance = fitted.variance(contrast)
    if not variance > 1e-20:  # zero but for rounding: nothing varied, so nothing is known
        return float("nan")
    return float(stats.t.ppf(1 - alpha / 2, freedom) * np.sqrt(variance))


def _rank_ranges(fitted: BradleyTerry, freedom: list[int]) -> list[tuple[float, float]]:
    """Lowest and highest rank of each model that the pairwise differences leave open."""
    size = len(fitted.models)
    pairs = size * (size - 1) / 2
    better = np.zeros((size, size), dtype=bool)
    for i in range(size):
        for j in range(size):
            if i == j:
                continue
            contrast = np.zeros(size)
            contrast[i], contrast[j] = 1, -1
            smaller = min(freedom[i], freedom[j])
            half = _half_width(fitted, contrast, smaller, (1 - LEVEL) / pairs)
            if np.isnan(half):
                return [(np.nan, np.nan)] * size
            better[i, j] = fitted.strengths[i] - fitted.strengths[j] > half
    above, below = better.sum(axis=0), better.sum(axis=1)
    return [(1.0 + above[i], float(size - below[i])) for i in range(size)]
