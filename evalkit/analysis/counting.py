"""Which comparisons count: the one entrance of the table functions, where every cell is checked."""

from typing import NoReturn

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.coding import codes_of
from evalkit.analysis.exclusions import counted
from evalkit.errors import TableError, listed, nearest
from evalkit.vote_files.values import (
    MODELS,
    Values,
    check_column,
    check_names,
    check_pairs,
    in_one_line,
    values_of,
)

_COLUMNS = {column.name: column for column in tables.IMPORTED_VOTES.columns}
_NEEDED = tuple(name for name, column in _COLUMNS.items() if column.required)
_READ = (*_NEEDED, "left_model", "kind", "excluded_by", "vote_source")


class Checked(pd.DataFrame):
    """Comparisons that `checked` has passed; rows or columns taken from them are plain again."""


def counting(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The comparisons that count, all of them `checked`: of kind main, and not excluded."""
    return main_only(checked(comparisons))


def main_only(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The comparisons of kind main, where kinds are given, that no rule excludes; as they are."""
    comparisons = counted(comparisons)
    if "kind" not in comparisons.columns:
        return comparisons
    return comparisons[comparisons["kind"] == "main"]


def checked(comparisons: pd.DataFrame) -> Checked:
    """The comparisons (`tables.IMPORTED_VOTES`, other columns too), if every one can count.

    Names come back as texts, and empty cells (NaN, None) of left_model, excluded_by, pair_id and
    vote_source as "": an unknown side, a vote that counts, no name, a vote of a person. Rows that
    are alike without trial_id and created_at are votes of their own: nothing tells them apart.

    TableError, with row (from 1) and column, on: a column that is missing; an empty name, winner,
    kind or trial_id; a value that is not allowed; names that differ by blanks; a left_model that is
    neither model; a model compared with itself; a trial, or a row with created_at, that stands
    twice; a question with the name of a row of results (`tables.MEAN_OF_QUESTIONS`).
    """
    if isinstance(comparisons, Checked):
        return comparisons
    _require_columns(comparisons)
    texts, values = {}, {}
    for name in _READ:
        if name in comparisons.columns:
            texts[name], values[name] = _read(comparisons[name], _COLUMNS[name])
            check_column(_COLUMNS[name], values[name], _refuse)
    check_names(values, _refuse)
    if "pair_id" in comparisons.columns:
        texts["pair_id"] = comparisons["pair_id"].astype(object).fillna("")
    votes = comparisons.assign(**texts)
    check_pairs(_pairs(votes), _refuse)
    _check_once(votes)
    return Checked(votes)


def in_time(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The rows by created_at, as text (ISO 8601), those without last; as they stand without it."""
    if "created_at" not in comparisons.columns:
        return comparisons
    when = pd.Series(comparisons["created_at"].astype(object).fillna("").astype(str).to_numpy())
    return comparisons.iloc[when.mask(when == "").sort_values(kind="stable").index]


def labelled(result: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """A table of results, saying SIMULATED VOTES in every row where any of the votes is."""
    return tables.label_simulated(result, tables.is_simulated(comparisons))


def _require_columns(comparisons: pd.DataFrame) -> None:
    found = [str(name) for name in comparisons.columns]
    for name in _NEEDED:
        if name not in found:
            raise TableError(
                f"comparisons: column {name} is missing (found: {listed(found)}); comparisons need "
                f"{listed(_NEEDED)}{nearest(name, found)}"
            )


def _read(cells: pd.Series, column: tables.Column) -> tuple[pd.Series, Values]:
    """The cells as texts, and the different ones with their first rows; codes, not cells."""
    codes, found = codes_of(cells)
    texts = np.array([*map(str, found), ""], dtype=object)  # the last for a missing cell, code -1
    missing = codes < 0
    if missing.any() and not column.empty:
        _refuse(int(missing.argmax()), column.name, "an empty cell; allowed is a value; correct it")
    is_text = all(isinstance(text, str) for text in found)
    if missing.any() or not is_text or isinstance(cells.dtype, pd.CategoricalDtype):
        cells = pd.Series(texts[codes], cells.index, dtype=object)
    first = values_of(codes)
    return cells, Values(texts[first.texts], first.rows)


def _pairs(votes: pd.DataFrame) -> pd.DataFrame:
    """The first of the rows with the same models and side, and where each stands."""
    names = [name for name in (*MODELS, "left_model") if name in votes.columns]
    codes = np.zeros(len(votes), dtype=np.int64)
    for name in names:
        code, found = codes_of(votes[name])
        codes = codes * len(found) + code
    rows = values_of(codes).rows
    return votes[names].iloc[rows].assign(row=rows).reset_index(drop=True)


def _check_once(votes: pd.DataFrame) -> None:
    """Refuse a vote that stands twice, by its trial or else by all that is known of it."""
    if "trial_id" in votes.columns:
        ids = votes["trial_id"]
        empty = (ids.isna() | (ids == "")).to_numpy()
        if empty.any():
            _refuse(int(empty.argmax()), "trial_id", "an empty cell; allowed is a value; name it")
        twice = ids.duplicated().to_numpy()
        if twice.any():
            row = int(twice.argmax())
            why = f'"{ids.iloc[row]}" stands twice; a trial has one vote; remove one row'
            _refuse(row, "trial_id", why)
    elif "created_at" in votes.columns:
        when = votes["created_at"]
        known = when.notna() & (when.astype(object) != "")
        twice = (known & votes.duplicated()).to_numpy()
        if twice.any():
            row = int(twice.argmax())
            why = (
                f'"{when.iloc[row]}": the row stands twice; a vote counts once; remove one of them'
            )
            _refuse(row, "created_at", f"{why}, or name each in a column trial_id")


def _refuse(row: int, column: str, why: str) -> NoReturn:
    raise TableError(in_one_line(f"comparisons: row {row + 1}, column {column}: {why}"))
