"""The pairs on which people and a metric differ most: what to look at before it is trusted."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from evalkit import tables
from evalkit.analysis.counting import labelled
from evalkit.analysis.metric_votes import MetricVotes, metric_votes
from evalkit.errors import EstimateError

MOST = 50
LEAST_VOTES = 2
FITTED = "logistic fit of the winner on the difference of scores, without intercept: {:.4g} a unit"
STANDARD = "one log-odds for each root mean square difference of scores"
_OF_PAIR = ["pair_id", "prompt_id", "seed", "model_a", "model_b", "score_a", "score_b"]


def disagreements(
    comparisons: pd.DataFrame,
    margins: pd.DataFrame,
    *,
    most: int = MOST,
    least_votes: int = LEAST_VOTES,
) -> pd.DataFrame:
    """The `most` pairs per question, metric and weights with the largest gap, largest first.

    Columns are those of `tables.DISAGREEMENTS`. `share_a` is the share of a pair's votes for
    model_a, ties and both_bad half; `expected_a` what the difference of the metric's scores lets
    expect (`slope`). The gap is how far they lie apart; of equal gaps the pair with more votes
    comes first, then by pair_id. Only pairs with `least_votes` votes or more. Scores stand in the
    metric's own unit. No such pairs give an empty table. EstimateError where `most` or
    `least_votes` is under one.
    """
    for name, value in (("most", most), ("least_votes", least_votes)):
        if value < 1:
            raise EstimateError(f"{name}: found {value}; allowed is 1 or more; raise it")
    parts = [tables.DISAGREEMENTS.empty()]
    for judged in metric_votes(comparisons, margins):
        pairs = _pairs(judged)
        pairs = pairs[pairs["n"] >= least_votes]
        pairs = pairs.sort_values(["gap", "n", "pair_id"], ascending=[False, False, True])
        pairs = pairs.head(most)
        parts.append(pairs.assign(**judged.names, place=np.arange(len(pairs)) + 1))
    found = pd.concat(parts[1:] or parts, ignore_index=True)
    return labelled(tables.check(found, tables.DISAGREEMENTS, "disagreements"), comparisons)


def slope(winner_lead: np.ndarray) -> tuple[float, str]:
    """Log-odds of a win per unit of the difference of scores, and how that was found.

    The maximum of the logistic likelihood of the winners, without intercept: models have no names
    here, and equal scores expect one half. Where it has no maximum over 0 (no decided votes, the
    metric right every time, or no more often right than wrong by the size of its differences), the
    slope is one log-odds for each root mean square difference: the order is then that of the sign
    and the standardised difference. 0 where all scores are equal.
    """
    size = float(np.sqrt(np.mean(winner_lead**2))) if len(winner_lead) else 0.0
    if size == 0:
        return 0.0, "not fitted: no decided votes on pairs of different scores; one half expected"
    standard = winner_lead / size
    if standard.min() >= 0:
        return 1 / size, f"not fitted: every winner has the better score; {STANDARD}"
    if standard.sum() <= 0:
        return 1 / size, f"not fitted: people go against the metric; {STANDARD}"
    upper = 1.0
    while _rise(upper, standard) > 0:
        upper *= 2
    found = float(brentq(_rise, 0.0, upper, args=(standard,), xtol=1e-12)) / size
    return found, FITTED.format(found)


def _rise(beta: float, standard: np.ndarray) -> float:
    """The derivative of the log-likelihood at a slope of `beta`; it falls with beta."""
    return float((standard * expit(-beta * standard)).sum())


def _pairs(judged: MetricVotes) -> pd.DataFrame:
    """Each pair with votes: its share and what the metric expects."""
    per_unit, method = slope(judged.decided.winner_lead)
    rows, first, codes = np.unique(judged.pair, return_index=True, return_inverse=True)
    n = np.bincount(codes)
    share = np.bincount(codes, judged.votes.points) / n
    expected = expit(per_unit * judged.lead[first])
    return judged.margins.iloc[rows][_OF_PAIR].assign(
        share_a=share, expected_a=expected, gap=np.abs(share - expected), n=n, method=method
    )
