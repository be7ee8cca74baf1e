"""Votes counted per pair of models and side: all that a paired-comparison model needs of them."""

from dataclasses import dataclass

import numpy as np

from evalkit.analysis.coding import BOTH_BAD, FIRST_WON, SECOND_WON, TIE, CodedVotes

SIDES = 3  # the second model's image lay left, nobody knows, the first model's lay left
OUTCOMES = 4


@dataclass(frozen=True)
class Matchups:
    """Counts per pair of models and side: m-vectors, no two rows of the same pair and side.

    `first` and `second` index `models`; `left` is 1 where the first model's image lay left, -1
    where the second's did, 0 where sides are unknown or not told apart. `won` and `lost` count the
    votes for the first and for the second model, `tied` those for neither (tie and both_bad).
    Counts may be fractional.
    """

    models: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    left: np.ndarray
    won: np.ndarray
    lost: np.ndarray
    tied: np.ndarray

    @property
    def size(self) -> int:
        """Number of models."""
        return len(self.models)

    @property
    def n(self) -> float:
        """Number of votes."""
        return float(self.won.sum() + self.lost.sum() + self.tied.sum())

    @property
    def gaps(self) -> np.ndarray:
        """The m x k matrix that takes strengths to the gap first - second of each row."""
        rows = np.arange(len(self.first))
        design = np.zeros((len(rows), self.size))
        design[rows, self.first] = 1
        design[rows, self.second] = -1
        return design

    @property
    def wins(self) -> np.ndarray:
        """W[i, j]: points that model i got against model j, ties half (k x k, zero diagonal)."""
        points = np.zeros((self.size, self.size))
        np.add.at(points, (self.first, self.second), self.won + self.tied / 2)
        np.add.at(points, (self.second, self.first), self.lost + self.tied / 2)
        return points


def count(votes: CodedVotes, *, sides: bool = False) -> Matchups:
    """The counts of coded votes; with `sides`, a pair has a row for each side it was shown on."""
    size = len(votes.models)
    shape = (size, size, SIDES, OUTCOMES)
    table = np.bincount(vote_codes(votes, sides=sides), minlength=int(np.prod(shape)))
    table = table.reshape(shape)
    first, second, side = np.nonzero(table.any(axis=3))
    cells = table[first, second, side]
    return Matchups(
        models=votes.models,
        first=first,
        second=second,
        left=side - 1,
        won=cells[:, FIRST_WON],
        lost=cells[:, SECOND_WON],
        tied=cells[:, TIE] + cells[:, BOTH_BAD],
    )


def vote_codes(votes: CodedVotes, *, sides: bool) -> np.ndarray:
    """One code per vote: its place in a flat (first, second, side, outcome) table (`place`)."""
    code = votes.first.astype(np.int32)
    code *= len(votes.models)
    code += votes.second
    code *= SIDES
    code += votes.left + 1 if sides else 1
    code *= OUTCOMES
    code += votes.outcome
    return code


def place(matchups: Matchups) -> np.ndarray:
    """Where each row of the matchups begins in the table that `vote_codes` points into."""
    pair = matchups.first * matchups.size + matchups.second
    return (pair * SIDES + matchups.left + 1) * OUTCOMES
