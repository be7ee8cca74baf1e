"""Votes beside margins: for each question and metric, people and metric on the very same pairs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.coding import CodedVotes, encode
from evalkit.analysis.counting import counting
from evalkit.analysis.intervals import two_way_share
from evalkit.analysis.margins import leads
from evalkit.analysis.result import Result
from evalkit.errors import TableError

_OF_PAIR = ["pair_id", "prompt_id", "model_a", "model_b"]


@dataclass(frozen=True)
class MetricVotes:
    """The votes on one question whose pairs one metric has judged.

    `lead` (n) is how far the metric puts the first model, by name, before the second on the pair of
    the vote; `pair` (n) is its row in `margins`, the metric's rows of `tables.MARGINS`.
    """

    names: dict[str, str]
    votes: CodedVotes
    lead: np.ndarray
    pair: np.ndarray
    margins: pd.DataFrame

    @property
    def decided(self) -> "MetricVotes":
        """Only the votes that name a winner."""
        rows = self.votes.is_decided
        return replace(
            self, votes=self.votes.take(rows), lead=self.lead[rows], pair=self.pair[rows]
        )

    @property
    def winner_lead(self) -> np.ndarray:
        """How far the metric puts the winner before the loser; of decided votes."""
        return np.where(self.votes.points == 1, self.lead, -self.lead)


def metric_votes(comparisons: pd.DataFrame, margins: pd.DataFrame) -> Iterator[MetricVotes]:
    """The votes on each question beside each metric that has judged pairs of it, in order.

    Only comparisons of kind main that no rule excludes, on pairs with margins; a metric without any
    on a question is not there. Nothing comes of comparisons without a column pair_id. TableError on
    comparisons that `counting.checked` refuses, and on a vote whose prompt or models are not those
    of its pair.
    """
    margins = tables.check(margins, tables.MARGINS, "margins")
    votes = counting(comparisons)
    if "pair_id" not in votes.columns or margins.empty:
        return
    by_metric = list(margins.groupby(["metric", "weights", "question_id"], sort=True))
    for question_id, asked in votes.groupby("question_id", sort=True):
        for (metric, weights, about), part in by_metric:
            if about in ("", question_id):
                names = {"question_id": question_id, "metric": metric, "weights": weights}
                found = _joined(names, asked, part.reset_index(drop=True))
                if found.votes.n:
                    yield found


def _joined(names: dict[str, str], asked: pd.DataFrame, part: pd.DataFrame) -> MetricVotes:
    row = pd.Index(part["pair_id"]).get_indexer(asked["pair_id"])
    judged, row = asked[row >= 0], row[row >= 0]
    _require_own_pair(judged, part.iloc[row])
    return MetricVotes(names, encode(judged), leads(part)[row], row, part)


def _require_own_pair(judged: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """TableError where a vote names another prompt, or other models, than its pair."""
    vote = judged[_OF_PAIR].to_numpy(dtype=object)
    pair = pairs[_OF_PAIR].to_numpy(dtype=object)
    wrong = (vote != pair).any(axis=1) & (vote != pair[:, [0, 1, 3, 2]]).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise TableError(
            f"comparisons: row {judged.index[row] + 1}: its prompt and models are "
            f"{', '.join(vote[row, 1:])}; those of pair {vote[row, 0]} are "
            f"{', '.join(pair[row, 1:])}; correct the row"
        )


def share_predicted(
    points: np.ndarray, votes: CodedVotes, what: str, *, none: str, even: str, level: float
) -> Result:
    """The mean of n points (1 predicted, 0 not, .5 neither), two-way clustered like a win rate.

    `what` it is ends the method; `none` says why there may be no votes, `even` what it means where
    nothing but .5 is there. See `intervals.share_from` for the interval, and where there is none.
    """
    result = two_way_share(points, votes.prompt, votes.annotator, level=level)
    if result.n == 0:
        return replace(result, method=f"not estimated: {none}; {what}")
    said = f"no interval: {even}" if (points == 0.5).all() else result.method
    return replace(result, method=f"{said}; {what}")
