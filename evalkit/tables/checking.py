"""Whether a data frame is the table that it should be: every cell is looked at, at the door."""

import difflib
from collections.abc import Sequence

import pandas as pd

from evalkit.errors import TableError, listed, nearest
from evalkit.tables.columns import FIRST_LINE, Column, Table


def check(frame: pd.DataFrame, table: Table, where: str) -> pd.DataFrame:
    """A copy of `frame` with the table's columns in order and in their types.

    Columns that the table does not know are dropped; optional ones may be absent. Cells may be
    text (as read from a file) or typed already. An empty frame gives an empty table.

    Raises TableError, with the line number, on a missing column, an empty cell, a value that is
    not allowed, or a key that stands twice.
    """
    for column in table.columns:
        if column.required and column.name not in frame.columns:
            raise TableError(
                f"{where}: column {column.name} is missing (found: {listed(frame.columns)}); "
                f"a {table.name} table needs {listed(c.name for c in table.columns if c.required)}"
                f"{_renamed(column.name, list(frame.columns))}"
            )
    present = [column for column in table.columns if column.name in frame.columns]
    frame = frame.reset_index(drop=True)
    typed = {column.name: _typed(frame[column.name], column, where) for column in present}
    checked = pd.DataFrame(typed, index=frame.index)
    _check_key(checked, table, where)
    return checked


def _renamed(wanted: str, found: list[str]) -> str:
    """What to do about a missing column, where the columns found hint at it."""
    if len(found) == 1 and ";" in found[0]:
        return "; its cells are separated by semicolons: save it with commas"
    close = difflib.get_close_matches(wanted, found, n=1, cutoff=0.6)
    return f'; rename "{close[0]}" if that is it' if close else ""


def _typed(cells: pd.Series, column: Column, where: str) -> pd.Series:
    missing = cells.isna()
    if not pd.api.types.is_numeric_dtype(cells):
        missing |= cells.astype(str).str.strip() == ""
    if missing.any() and not column.empty:
        _refuse(missing, column, where, "an empty cell")
    if column.kind in ("integer", "number"):
        return _numeric(cells, missing, column, where)
    if column.kind == "flag":
        return _flags(cells, missing, column, where)
    texts = cells.astype(str).where(~missing, "")
    if column.allowed:
        wrong = ~texts.isin([*column.allowed, *([""] if column.empty else [])])
        if wrong.any():
            found = texts[wrong].iloc[0]
            hint = nearest(found, column.allowed)
            _refuse(wrong, column, where, f'"{found}"', f"one of {listed(column.allowed)}{hint}")
    if column.kind == "file":
        _require_inside(texts, missing, column, where)
    return texts.astype(object)


def _require_inside(texts: pd.Series, missing: pd.Series, column: Column, where: str) -> None:
    """TableError where a path leads out of its folder: the table may come from elsewhere."""
    wrong = ~texts.map(_is_inside).astype(bool) & ~missing
    if wrong.any():
        allowed = 'a path below its folder, without ".." and backslashes'
        _refuse(wrong, column, where, f'"{texts[wrong].iloc[0]}"', allowed)


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    return ".." not in parts and parts[0] != "" and not {"\\", "\0"} & set(name)


def _numeric(cells: pd.Series, missing: pd.Series, column: Column, where: str) -> pd.Series:
    numbers = pd.to_numeric(cells.mask(missing), errors="coerce").astype(float)
    wrong = numbers.isna() & ~missing
    if column.kind == "integer":
        wrong |= numbers.notna() & (numbers % 1 != 0)
    if wrong.any():
        what = "a whole number" if column.kind == "integer" else "a number"
        _refuse(wrong, column, where, f'"{cells[wrong].iloc[0]}"', what)
    if column.kind == "integer" and not missing.any():
        return numbers.astype("int64")
    return numbers


def _flags(cells: pd.Series, missing: pd.Series, column: Column, where: str) -> pd.Series:
    flags = cells.astype(str).str.lower().map({"true": True, "false": False})
    wrong = flags.isna() & ~missing
    if wrong.any():
        _refuse(wrong, column, where, f'"{cells[wrong].iloc[0]}"', "true or false")
    return flags.astype("boolean" if column.empty else bool)


def _refuse(
    wrong: pd.Series, column: Column, where: str, found: str, allowed: str = "a value"
) -> None:
    row = int(wrong.to_numpy().argmax()) + FIRST_LINE
    raise TableError(
        f"{where}: line {row}, column {column.name}: {found}; allowed is {allowed}; correct the row"
    )


def _check_key(frame: pd.DataFrame, table: Table, where: str) -> None:
    key = [name for name in table.key if name in frame.columns]
    if not key:
        return
    twice = frame.duplicated(key)
    if twice.any():
        row = int(twice.to_numpy().argmax())
        value = listed(str(v) for v in _values(frame, row, key))
        raise TableError(
            f"{where}: line {row + FIRST_LINE}: {listed(key)} = {value} stands twice; "
            "each row must be named once; remove one of them"
        )


def _values(frame: pd.DataFrame, row: int, names: Sequence[str]) -> list[object]:
    return [frame[name].iloc[row] for name in names]
