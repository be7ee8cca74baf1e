"""The first cell in which two tables of one kind differ."""

from typing import Any

import numpy as np
import pandas as pd

from evalkit.tables import Column, Table

_NEAR = 1e-6  # relative: libraries of other versions round otherwise in the last digits


def first_difference(written: pd.DataFrame, again: pd.DataFrame, table: Table) -> str:
    """Which row and column it is, with both values; "" where the tables are the same."""
    key = [name for name in table.key if name in written and name in again]
    old, new = (frame.set_index(key).sort_index() for frame in (written, again))
    if not old.index.equals(new.index):
        row = old.index.symmetric_difference(new.index)[0]
        return f"the row {_named(row)} is {'more' if row in old.index else 'missing'}"
    for column in table.columns:
        name = column.name
        if name in key or not (name in old or name in new):
            continue
        if name not in old or name not in new:
            return f"column {name} is {'more' if name in old else 'missing'}"
        wrong = ~_same(old[name], new[name], column)
        if wrong.any():
            row = int(wrong.argmax())
            values = f"{old[name].iloc[row]}, and {new[name].iloc[row]}"
            return f"{_named(old.index[row])}: {name} is {values}"
    return ""


def _same(old: pd.Series, new: pd.Series, column: Column) -> np.ndarray:
    if column.kind in ("number", "integer"):
        numbers = (series.to_numpy(dtype=float) for series in (old, new))
        return np.isclose(*numbers, rtol=_NEAR, atol=_NEAR, equal_nan=True)
    return (old.astype(str) == new.astype(str)).to_numpy()


def _named(row: Any) -> str:
    return ", ".join(map(str, row))
