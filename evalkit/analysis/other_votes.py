"""What other votes predict of a vote: the ceiling and the floor that a metric is held against."""

import numpy as np

from evalkit.analysis.metric_votes import MetricVotes, share_predicted
from evalkit.analysis.result import LEVEL, Result

CEILING = (
    "share of decided votes that go with the majority of the other annotators' on the same pair, "
    "a split majority counting half; votes without others do not count"
)
FLOOR = (
    "share of decided votes for the model that votes on the other prompts prefer, pair of models "
    "by pair, no preference counting half"
)


def ceiling(decided: MetricVotes, *, level: float = LEVEL) -> Result:
    """How well other annotators predict a vote, in [0, 1]; n counts the votes that have others.

    The majority of few others is itself uncertain, so a metric that knew what people think on
    average could lie above it.
    """
    votes = decided.votes
    return _by_others(
        decided, decided.pair, votes.annotator, CEILING,
        none="no two annotators decided on the same pair",
        even="the other annotators are split on every pair", level=level,
    )  # fmt: skip


def floor(decided: MetricVotes, *, level: float = LEVEL) -> Result:
    """How well the names of the models alone predict a vote, in [0, 1]; no image is looked at.

    The model is chosen without the votes on the vote's own prompt. Where two models are nearly
    even, leaving out a prompt tips the rest against it: the floor may lie under one half then.
    """
    votes = decided.votes
    matchup = votes.first * len(votes.models) + votes.second
    return _by_others(
        decided, matchup, votes.prompt, FLOOR,
        none="no two prompts with decided votes on the same pair of models",
        even="other prompts show no preference", level=level,
    )  # fmt: skip


def _by_others(
    decided: MetricVotes, group: np.ndarray, own: np.ndarray, what: str, **options: object
) -> Result:
    """The share that goes with the majority of its group's votes without those of its own kind."""
    won = 2 * decided.votes.points - 1  # 1 for the first model, -1 for the second
    majority, others = _without_own(won, group, own), _without_own(np.ones_like(won), group, own)
    points = (np.sign(majority * won) + 1) / 2
    kept = others > 0
    return share_predicted(points[kept], decided.votes.take(kept), what, **options)


def _without_own(values: np.ndarray, group: np.ndarray, own: np.ndarray) -> np.ndarray:
    """For each row the sum over its group, less the rows of it that are of its own kind."""
    if not len(values):
        return values
    _, whole = np.unique(group, return_inverse=True)
    _, part = np.unique(np.stack([whole, own]), axis=1, return_inverse=True)
    return np.bincount(whole, values)[whole] - np.bincount(part, values)[part]
