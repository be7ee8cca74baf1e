"""Comparisons as integer codes: strings are encoded once, everything after is arithmetic."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evalkit.errors import TableError, listed, nearest
from evalkit.tables import WINNERS

FIRST_WON, SECOND_WON, TIE, BOTH_BAD = range(len(WINNERS))
_HALF = np.array([1.0, 0.0, 0.5, 0.5])  # points to the first model, by outcome
_ORIENTED = np.array(  # the outcome of a row as it stands, then of one that is turned
    [FIRST_WON, SECOND_WON, TIE, BOTH_BAD, SECOND_WON, FIRST_WON, TIE, BOTH_BAD], dtype=np.int8
)


@dataclass(frozen=True)
class CodedVotes:
    """Votes on pairs of models: n-vectors of codes, and the names that the codes stand for.

    `first` and `second` index `models`, `first` standing before `second` by name, in the smallest
    integers that hold the square of the number of models (their pairs' codes); `outcome` is one
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


def encode(comparisons: pd.DataFrame, *, pairs_only: bool = False) -> CodedVotes:
    """The codes of a comparisons table; each pair is turned so that its models stand by name.

    Columns model_a, model_b, winner (`tables.WINNERS`), prompt_id, annotator_id; left_model may be
    absent or empty. With `pairs_only`, a third of the work, only models and outcomes are read: all
    votes stand in one cluster, so that no interval can be had of them, and sides are unknown.
    No rows give empty vectors. TableError on a winner that is not allowed, on an empty cell, and on
    a model compared with itself.
    """
    (a, in_a), (b, in_b) = (_factorize(comparisons, name) for name in ("model_a", "model_b"))
    models = sorted({*in_a, *in_b})
    index = {name: code for code, name in enumerate(models)}
    a, b = _renumbered(a, in_a, index), _renumbered(b, in_b, index)
    _refuse_self(a == b, comparisons)
    outcome = _outcomes(comparisons)
    is_turned = a > b
    one = np.zeros(len(a), dtype=np.int8)
    side_of_a = one if pairs_only else _side_of_a(comparisons, index, a, b)
    return CodedVotes(
        models=tuple(models),
        first=np.minimum(a, b),
        second=np.maximum(a, b),
        outcome=_ORIENTED.take(outcome + len(WINNERS) * is_turned.astype(np.int8)),
        prompt=one if pairs_only else _clusters(comparisons, "prompt_id"),
        annotator=one if pairs_only else _clusters(comparisons, "annotator_id"),
        left=one if pairs_only else np.where(is_turned, -side_of_a, side_of_a),
    )


def _clusters(comparisons: pd.DataFrame, column: str) -> np.ndarray:
    """Codes in the order of the names, so that what is drawn with a seed is free of row order."""
    codes, texts = _factorize(comparisons, column)
    place = np.empty(len(texts), dtype=np.int64)
    place[np.argsort(texts)] = np.arange(len(texts))
    return place.take(codes)


def _factorize(comparisons: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """A code per row and the texts that the codes stand for; TableError on an empty cell."""
    codes, texts = codes_of(comparisons[column])
    if (codes < 0).any():
        row = int((codes < 0).argmax())
        raise TableError(
            f"comparisons: row {row + 1}, column {column}: an empty cell; allowed is a value; "
            "correct the row"
        )
    return codes, texts


def codes_of(cells: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """A code per cell, in the order in which values come, -1 where it is missing; and the values.

    The same as `pandas.factorize`, without its copies where the cells lie in Arrow's memory.
    """
    if not (isinstance(cells.dtype, pd.StringDtype) and cells.dtype.storage == "pyarrow"):
        codes, found = pd.factorize(cells)
        return codes, np.asarray(found, dtype=object)
    encoded = cells.array.__arrow_array__().dictionary_encode()  # one dictionary for all chunks
    if not encoded.num_chunks:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=object)
    lacking = encoded.null_count  # where none is missing, nothing is copied
    parts = [(one.indices.fill_null(-1) if lacking else one.indices) for one in encoded.chunks]
    codes = [part.to_numpy() for part in parts]
    texts = encoded.chunk(0).dictionary.to_numpy(zero_copy_only=False)
    return codes[0] if len(codes) == 1 else np.concatenate(codes), np.asarray(texts, dtype=object)


def _renumbered(codes: np.ndarray, texts: np.ndarray, index: dict[str, int]) -> np.ndarray:
    """The codes of `index` in place of a column's own, small as they are; -1 for the unknown."""
    kind = np.min_scalar_type(-(len(index) ** 2))
    return np.array([index.get(text, -1) for text in texts], dtype=kind).take(codes)


def _refuse_self(alike: np.ndarray, comparisons: pd.DataFrame) -> None:
    if alike.any():
        row = int(alike.argmax())
        raise TableError(
            f'comparisons: row {row + 1}, column model_b: "{comparisons["model_b"].iloc[row]}" is '
            "compared with itself; a comparison needs two models; correct the row"
        )


def _outcomes(comparisons: pd.DataFrame) -> np.ndarray:
    codes, found = _factorize(comparisons, "winner")
    unknown = [name for name in found if name not in WINNERS]
    if unknown:
        raise TableError(
            f'comparisons: column winner: "{unknown[0]}"; allowed is one of {listed(WINNERS)}'
            f"{nearest(str(unknown[0]), WINNERS)}; correct the row"
        )
    return np.array([WINNERS.index(name) for name in found], dtype=np.int8).take(codes)


def _side_of_a(
    comparisons: pd.DataFrame, index: dict[str, int], a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """1 where model_a's image lay left, -1 where model_b's did, 0 where nobody knows."""
    if "left_model" not in comparisons.columns:
        return np.zeros(len(a), dtype=np.int8)
    codes, found = pd.factorize(comparisons["left_model"])
    lay_left = np.array([*(index.get(name, -1) for name in found), -1], dtype=np.int64)[codes]
    return (lay_left == a).astype(np.int8) - (lay_left == b)
