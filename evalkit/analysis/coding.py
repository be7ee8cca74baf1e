"""Comparisons as integer codes: strings are encoded once, everything after is arithmetic."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evalkit.tables import WINNERS

FIRST_WON, SECOND_WON, TIE, BOTH_BAD = range(len(WINNERS))
_HALF = np.array([1.0, 0.0, 0.5, 0.5])  # points to the first model, by outcome
_TURNED = np.array([SECOND_WON, FIRST_WON, TIE, BOTH_BAD], dtype=np.int8)


@dataclass(frozen=True)
class CodedVotes:
    """Votes on pairs of models: n-vectors of codes, and the names that the codes stand for.

    `first` and `second` index `models`, `first` standing before `second` by name; `outcome` is one
    of FIRST_WON, SECOND_WON, TIE, BOTH_BAD. `prompt` and `annotator` are cluster codes; `left` is 1
    where the first model's image lay left, -1 where the second's did, 0 where nobody knows.
    """

    models: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    outcome: np.ndarray
    prompt: np.ndarray
    annotator: np.ndarray
    left: np.ndarray

    @property
    def n(self) -> int:
        """Number of votes."""
        return len(self.outcome)

    @property
    def points(self) -> np.ndarray:
        """What the first model got of each vote: 1 won, 0.5 tie or both bad, 0 lost."""
        return _HALF[self.outcome]

    @property
    def is_decided(self) -> np.ndarray:
        """Whether each vote names a winner."""
        return self.outcome <= SECOND_WON

    @property
    def n_prompts(self) -> int:
        """Number of different prompts."""
        return len(np.unique(self.prompt))

    @property
    def n_annotators(self) -> int:
        """Number of different annotators."""
        return len(np.unique(self.annotator))

    def take(self, rows: np.ndarray) -> "CodedVotes":
        """The votes at `rows` (a mask or indices), with the same model codes."""
        columns = ("first", "second", "outcome", "prompt", "annotator", "left")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


def encode(comparisons: pd.DataFrame) -> CodedVotes:
    """The codes of a comparisons table; each pair is turned so that its models stand by name.

    Columns model_a, model_b, winner (`tables.WINNERS`), prompt_id, annotator_id; left_model may be
    absent or empty. No rows give empty vectors.
    """
    models = sorted({*comparisons["model_a"], *comparisons["model_b"]})
    index = {name: code for code, name in enumerate(models)}
    a = comparisons["model_a"].map(index).to_numpy(dtype=np.intp)
    b = comparisons["model_b"].map(index).to_numpy(dtype=np.intp)
    won = {name: code for code, name in enumerate(WINNERS)}
    outcome = comparisons["winner"].map(won).to_numpy(dtype=np.int8)
    left = np.zeros(len(a), dtype=np.int8)
    if "left_model" in comparisons.columns:
        lay_left = comparisons["left_model"].map(index).fillna(-1).to_numpy(dtype=np.intp)
        left = (lay_left == np.minimum(a, b)).astype(np.int8) - (lay_left == np.maximum(a, b))
    return CodedVotes(
        models=tuple(models),
        first=np.minimum(a, b),
        second=np.maximum(a, b),
        outcome=np.where(a > b, _TURNED[outcome], outcome),
        prompt=pd.factorize(comparisons["prompt_id"])[0],
        annotator=pd.factorize(comparisons["annotator_id"])[0],
        left=left,
    )


def orient(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The comparisons with model_a before model_b by name, the winner turned along.

    So that (x, y) and (y, x) are one pair; pairs of a study stand so already.
    """
    turned = comparisons["model_a"] > comparisons["model_b"]
    oriented = comparisons.copy()
    oriented.loc[turned, ["model_a", "model_b"]] = comparisons.loc[
        turned, ["model_b", "model_a"]
    ].to_numpy()
    swap = {"model_a": "model_b", "model_b": "model_a"}
    oriented.loc[turned, "winner"] = comparisons.loc[turned, "winner"].replace(swap)
    return oriented
