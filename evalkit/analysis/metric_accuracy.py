"""How well a metric predicts votes: accuracy and AUC, with two-way clustered intervals.

Sources: DeLong, DeLong & Clarke-Pearson 1988 (placement values); Hoeffding 1948 (projection of a U
statistic); Cameron, Gelbach & Miller 2011 (clustering).
"""

import numpy as np

from evalkit.analysis.metric_votes import MetricVotes, share_predicted
from evalkit.analysis.result import LEVEL, Result

NO_VOTES = "no decided votes on pairs that the metric has scored"
EQUAL = "the metric scores every pair equally"
ACCURACY = "share of decided votes whose winner has the better score, equal scores counting half"
AUC = (
    "area under the ROC curve of the difference of scores, each decided vote entered in both "
    "orientations; placement values in the clusters"
)


def accuracy(decided: MetricVotes, *, level: float = LEVEL) -> Result:
    """The share of decided votes whose winner the metric predicts, in [0, 1]."""
    points = predicted(decided.winner_lead)
    return share_predicted(points, decided.votes, ACCURACY, none=NO_VOTES, even=EQUAL, level=level)


def auc(decided: MetricVotes, *, level: float = LEVEL) -> Result:
    """The AUC of the difference of scores for the winner, in [0, 1].

    Which model stands first is a matter of names, so each vote is entered both ways round: as a win
    at the lead m of its winner and as a loss at -m. The AUC is then the mean of h(m_i + m_j) over
    all i and j, h(x) being 1 over 0, 1/2 at 0 and 0 under it. With v_i the mean over j, vote i
    moves it by 2 (v_i - AUC) / n to the first order; so 2 v - AUC has its mean and its variance,
    and the interval is the two-way one of that. A metric whose leads are all as large has its
    accuracy, and the interval of that.
    """
    placed = placements(decided.winner_lead)
    area = float(placed.mean()) if len(placed) else float("nan")
    return share_predicted(
        2 * placed - area, decided.votes, AUC, none=NO_VOTES, even=EQUAL, level=level
    )


def predicted(winner_lead: np.ndarray) -> np.ndarray:
    """1 where the winner has the better score, 0 where the loser has, .5 where both are alike."""
    return (np.sign(winner_lead) + 1) / 2


def placements(winner_lead: np.ndarray) -> np.ndarray:
    """For each of n leads m_i, the mean over all j of h(m_i + m_j); see `auc`. Sorts once."""
    losing = np.sort(-winner_lead)
    under = np.searchsorted(losing, winner_lead, side="left")
    up_to = np.searchsorted(losing, winner_lead, side="right")
    return (under + up_to) / (2 * max(1, len(losing)))
