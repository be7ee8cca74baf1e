"""How far a metric can be trusted: metric and people on the same pairs, and what bounds it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.bootstrap import REPLICATES
from evalkit.analysis.counting import labelled
from evalkit.analysis.metric_accuracy import ACCURACY, EQUAL, NO_VOTES, accuracy, auc, predicted
from evalkit.analysis.metric_ranks import rank_correlation
from evalkit.analysis.metric_votes import MetricVotes, metric_votes, share_predicted
from evalkit.analysis.other_votes import ceiling, floor
from evalkit.analysis.result import LEVEL, Result, require_level
from evalkit.errors import EstimateError

BINS = 4
_OF_DECIDED: dict[str, Callable[..., Result]] = {
    "accuracy": accuracy,
    "auc": auc,
    "ceiling": ceiling,
    "floor": floor,
}


def metric_agreement(
    comparisons: pd.DataFrame,
    margins: pd.DataFrame,
    *,
    level: float = LEVEL,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """Five rows per question, metric and weights (`tables.METRIC_AGREEMENT`).

    `margins` are those of `margins.margins`. Of the decided votes (no tie, no both_bad) on pairs
    that the metric has scored: `accuracy` is the share whose winner has the better score; `auc` the
    area under the ROC curve of the difference of scores; `ceiling` how well the other annotators of
    the same pair predict a vote; `floor` how well the names of the models do (`other_votes`). All
    lie in [0, 1], with two-way clustered intervals at `level`. `rank_correlation` is Kendall's
    tau-b of the models' mean scores and ratings; its n counts models, and its bootstrap draws
    `replicates` with `seed`.

    Only comparisons of kind main that no rule excludes count. What cannot be estimated is NaN, and
    `method` says why first. No votes on scored pairs, and votes without pair_id, give an empty
    table. TableError as in `metric_votes.metric_votes`.
    """
    require_level(level)
    rows = []
    for judged in metric_votes(comparisons, margins):
        decided = judged.decided
        found = {name: estimate(decided, level=level) for name, estimate in _OF_DECIDED.items()}
        found["rank_correlation"] = rank_correlation(
            judged, level=level, seed=seed, replicates=replicates
        )
        rows += [
            {**judged.names, "measure": name, **result.row()} for name, result in found.items()
        ]
    frame = pd.DataFrame(rows) if rows else tables.METRIC_AGREEMENT.empty()
    return labelled(tables.check(frame, tables.METRIC_AGREEMENT, "metric agreement"), comparisons)


def metric_bins(
    comparisons: pd.DataFrame,
    margins: pd.DataFrame,
    *,
    bins: int = BINS,
    level: float = LEVEL,
) -> pd.DataFrame:
    """A row per question, metric, weights and bin of the size of the difference of scores.

    Columns are those of `tables.METRIC_BINS`. `bins` parts of the decided votes, from the smallest
    difference to the largest; see `bins_of` for edges. `difference_low` and `difference_high` are
    the smallest and the largest in the bin, `accuracy` is as in `metric_agreement`. No votes on
    scored pairs give an empty table. EstimateError on fewer than one bin.
    """
    require_level(level)
    if bins < 1:
        raise EstimateError(f"bins: found {bins}; allowed is 1 or more; raise it")
    rows = []
    for judged in metric_votes(comparisons, margins):
        decided = judged.decided
        sizes = np.abs(decided.lead)
        number = bins_of(sizes, bins)
        for place in np.unique(number):
            rows.append({**judged.names, "bin": place, **_bin(decided, number == place, level)})
    frame = pd.DataFrame(rows) if rows else tables.METRIC_BINS.empty()
    return labelled(tables.check(frame, tables.METRIC_BINS, "metric bins"), comparisons)


def bins_of(sizes: np.ndarray, bins: int) -> np.ndarray:
    """The bin (1, 2, ...) of each of n sizes, as many in each as ties let there be.

    Edges are quantiles that occur as sizes; a size at an edge belongs to the bin below it, so that
    equal sizes share a bin. Where that leaves bins without any, there are fewer.
    """
    if not len(sizes):
        return np.empty(0, dtype=np.int64)
    shares = np.arange(1, bins) / bins
    edges = np.quantile(sizes, shares, method="inverted_cdf")
    place = np.searchsorted(edges, sizes, side="left")
    return np.unique(place, return_inverse=True)[1] + 1


def _bin(decided: MetricVotes, inside: np.ndarray, level: float) -> dict[str, Any]:
    sizes = np.abs(decided.lead[inside])
    result = share_predicted(
        predicted(decided.winner_lead[inside]), decided.votes.take(inside), ACCURACY,
        none=NO_VOTES, even=EQUAL, level=level,
    )  # fmt: skip
    return {
        "difference_low": sizes.min(),
        "difference_high": sizes.max(),
        "accuracy": result.estimate,
        **{name: value for name, value in result.row().items() if name != "estimate"},
    }
