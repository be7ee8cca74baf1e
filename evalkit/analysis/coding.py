"""Comparisons as integer codes: strings are encoded once, everything after is arithmetic."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

POINTS = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "both_bad": 0.5}  # points to model_a


@dataclass(frozen=True)
class CodedVotes:
    """Votes on pairs of models: n-vectors of codes, and the names that the codes stand for.

    `first` and `second` index `models`, `first` standing before `second` by name; `points` is what
    `first` got: 1 won, 0.5 tie or both bad, 0 lost. `prompt` and `annotator` are cluster codes.
    """

    models: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    points: np.ndarray
    prompt: np.ndarray
    annotator: np.ndarray

    @property
    def n(self) -> int:
        """Number of votes."""
        return len(self.points)

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
        return CodedVotes(
            self.models,
            self.first[rows],
            self.second[rows],
            self.points[rows],
            self.prompt[rows],
            self.annotator[rows],
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


def encode(comparisons: pd.DataFrame) -> CodedVotes:
    """The codes of a comparisons table (any orientation; no rows give empty vectors)."""
    oriented = orient(comparisons)
    models = sorted({*oriented["model_a"], *oriented["model_b"]})
    index = {name: code for code, name in enumerate(models)}
    return CodedVotes(
        models=tuple(models),
        first=oriented["model_a"].map(index).to_numpy(dtype=np.intp),
        second=oriented["model_b"].map(index).to_numpy(dtype=np.intp),
        points=oriented["winner"].map(POINTS).to_numpy(dtype=float),
        prompt=pd.factorize(oriented["prompt_id"])[0],
        annotator=pd.factorize(oriented["annotator_id"])[0],
    )
