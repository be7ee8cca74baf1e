"""Whether a metric ranks models as people do: means of scores against Bradley-Terry ratings.

Source: Kendall 1945, The treatment of ties in ranking problems (tau-b).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evalkit.analysis.bootstrap import REPLICATES, draw_weights
from evalkit.analysis.bradley_terry import fit_strengths
from evalkit.analysis.finite import is_finite, require_finite
from evalkit.analysis.matchups import count
from evalkit.analysis.metric_votes import MetricVotes
from evalkit.analysis.result import LEVEL, Result
from evalkit.errors import EstimateError

LEAST_MODELS = 5  # with four, even the same order has a two-sided p-value of 2 / 4! = .083
MOST_LOST = 0.05  # of the replicates, where no finite ratings exist
METHOD = (
    "Kendall's tau-b of mean scores (means of prompt means) and Bradley-Terry ratings; n counts "
    "models"
)


def rank_correlation(
    judged: MetricVotes, *, level: float = LEVEL, seed: int = 0, replicates: int = REPLICATES
) -> Result:
    """Kendall's tau-b, in [-1, 1], of the models' mean scores with their ratings by the same votes.

    Ties and both_bad count half, as in the ratings. A model's mean is over the prompts of the means
    over its images in pairs; a judge's score is how often it prefers the model. The interval, from
    `LEAST_MODELS` on, is the percentile bootstrap over prompts, scores and votes together, which
    takes the annotators as they are. NaN, with the reason, where no finite ratings exist or every
    model has the same mean. n is the number of models.
    """
    votes = judged.votes
    behind = {
        "n": len(votes.models), "n_prompts": votes.n_prompts, "n_annotators": votes.n_annotators,
    }  # fmt: skip
    study = _Study.of(judged)
    try:
        require_finite(count(votes))
    except EstimateError as error:
        return Result(np.nan, np.nan, np.nan, method=f"not estimated: {error}; {METHOD}", **behind)
    once = np.ones((1, len(study.counts)))
    tau = float(study.correlations(once)[0])
    if np.isnan(tau):
        reason = "not estimated: every model has the same mean or rating"
        return Result(np.nan, np.nan, np.nan, method=f"{reason}; {METHOD}", **behind)
    low, high, how = _interval(study, level, seed, replicates)
    drawn = None if np.isnan(low) else seed
    return Result(tau, low, high, method=f"{how}; {METHOD}", seed=drawn, **behind)


def _interval(
    study: "_Study", level: float, seed: int, replicates: int
) -> tuple[float, float, str]:
    """The bounds and how they were made; NaN and the reason where there are none."""
    nan = float("nan")
    prompts, models = study.counts.shape
    if models < LEAST_MODELS:
        few = f"{models} models, at least {LEAST_MODELS} are needed: fewer can agree by chance"
        return nan, nan, f"no interval: {few}"
    if prompts < 2:
        return nan, nan, "no interval: one prompt, at least two are needed"
    weights = draw_weights(np.random.default_rng(seed), prompts, replicates)
    drawn = study.correlations(weights)
    lost = int(np.isnan(drawn).sum())
    if lost > MOST_LOST * replicates:
        reason = f"in {lost:,} of {replicates:,} bootstraps no finite ratings exist"
        return nan, nan, f"no interval: {reason}"
    known = drawn[~np.isnan(drawn)]
    if known.min() == known.max():
        return nan, nan, "no interval: every bootstrap ranks the models alike"
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    said = f"bootstrap of the prompts, percentiles, {replicates:,} replicates"
    said += f", {lost:,} of them without finite ratings" if lost else ""
    return float(low), float(high), f"{said}; annotators taken as they are"


@dataclass(frozen=True)
class _Study:
    """What each prompt adds: a table of wins (k x k), and each model's mean score and whether any.

    `wins` is prompts x k x k, `sums` and `counts` prompts x k; sums are higher for better models.
    """

    wins: np.ndarray
    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, judged: MetricVotes) -> "_Study":
        votes, size = judged.votes, len(judged.votes.models)
        means = _prompt_means(judged.margins).reindex(columns=list(votes.models))
        prompt = means.index.get_indexer(judged.margins["prompt_id"].iloc[judged.pair])
        wins = np.zeros((len(means), size, size))
        np.add.at(wins, (prompt, votes.first, votes.second), votes.points)
        np.add.at(wins, (prompt, votes.second, votes.first), 1 - votes.points)
        scores = means.to_numpy(dtype=float)
        return cls(wins, np.nan_to_num(scores), (~np.isnan(scores)).astype(float))

    def correlations(self, weights: np.ndarray) -> np.ndarray:
        """Tau-b with each row of weights of the prompts; NaN where it is undefined."""
        size = self.counts.shape[1]
        wins = (weights @ self.wins.reshape(len(self.wins), -1)).reshape(-1, size, size)
        with np.errstate(invalid="ignore"):
            means = (weights @ self.sums) / (weights @ self.counts)
        known = is_finite(wins) & ~np.isnan(means).any(axis=1)
        found = np.full(len(weights), np.nan)
        if known.any():
            found[known] = tau_b(fit_strengths(wins[known]), means[known])
        return found


def tau_b(ratings: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each row (r x k) of ratings and means; NaN where a row is all ties.

    Alike are ratings within 1e-9, and means within a share of 1e-12 of the largest: rounding.
    """
    largest = np.abs(means).max(axis=1, keepdims=True, initial=0.0)
    signs = _signs(ratings, np.full((len(ratings), 1), 1e-9)), _signs(means, 1e-12 * largest)
    untied = [np.abs(sign).sum(axis=1) for sign in signs]
    with np.errstate(invalid="ignore"):
        return (signs[0] * signs[1]).sum(axis=1) / np.sqrt(untied[0] * untied[1])


def _signs(values: np.ndarray, nothing: np.ndarray) -> np.ndarray:
    """Which of each two columns is larger: 1, 0 (within `nothing`) or -1."""
    first, second = np.triu_indices(values.shape[1], 1)
    gaps = values[:, first] - values[:, second]
    return np.where(np.abs(gaps) <= nothing, 0.0, np.sign(gaps))


def _prompt_means(margins: pd.DataFrame) -> pd.DataFrame:
    """Prompts x models: the mean over seeds of a model's score, negated where less is better."""
    sides = [
        margins[["prompt_id", "seed", f"model_{side}", f"score_{side}"]].set_axis(
            ["prompt_id", "seed", "model", "score"], axis=1
        )
        for side in ("a", "b")
    ]
    by_image = pd.concat(sides).groupby(["prompt_id", "seed", "model"])["score"].mean()
    means = by_image.groupby(["prompt_id", "model"]).mean().unstack("model")
    return means if margins["higher_is_better"].all() else -means
