"""Parquet files by DuckDB: their columns as texts, and questions about the whole file in SQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.errors import TableError, first_line

_MEMORY = "1500MB"  # of DuckDB alone; what does not fit goes to disk


@dataclass(frozen=True)
class Parquet:
    """An open Parquet file: the names and types of its columns, and its number of rows."""

    path: Path
    connection: Any
    types: dict[str, str]
    n: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(self.types)

    @property
    def source(self) -> str:
        """The file as a table of SQL, with a column file_row_number from 0."""
        return f"read_parquet({quoted(str(self.path))}, file_row_number = true)"

    def text(self, name: str) -> str:
        """A column as texts, in SQL: an empty cell or NaN is "", a whole number has no point."""
        kind, column = self.types[name], f'"{name.replace(chr(34), 2 * chr(34))}"'
        if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "BLOB", "UNION")):
            raise TableError(
                f"{self.path}: column {name}: holds {kind.lower()}; allowed are texts and numbers; "
                "save it otherwise"
            )
        if kind in ("DOUBLE", "FLOAT"):
            whole = f"CASE WHEN {column} = trunc({column}) AND abs({column}) < 1e15"
            column = (
                f"CASE WHEN isnan({column}) THEN '' ELSE "
                f"{whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) "
                f"ELSE CAST({column} AS VARCHAR) END END"
            )
        return f"coalesce(CAST({column} AS VARCHAR), '')"

    def texts(self, name: str) -> list[str]:
        """The cells of a column, in the order of the file."""
        return self.ask(f"SELECT {self.text(name)} AS cell FROM {self.source}")["cell"].tolist()

    def ask(self, query: str) -> dict[str, np.ndarray]:
        """The columns that a query of the file gives; TableError where the file is damaged."""
        with _readable(self.path):
            found = self.connection.execute(query).fetchnumpy()
        return {name: np.asarray(cells) for name, cells in found.items()}


@contextmanager
def opened(path: Path, scratch: Path | None = None) -> Iterator[Parquet]:
    """The file, open; TableError where it is not Parquet.

    With `scratch`, an empty folder, what the memory does not hold goes there.
    """
    import duckdb

    connection = duckdb.connect(str(scratch / "votes.duckdb") if scratch else ":memory:")
    try:
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        source = f"read_parquet({quoted(str(path))})"
        with _readable(path):
            described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
            [(n,)] = connection.execute(f"SELECT count(*) FROM {source}").fetchall()
        yield Parquet(path, connection, {row[0]: row[1] for row in described}, n)
    finally:
        connection.close()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise TableError(
            f"{path}: cannot be read as Parquet ({first_line(error)}); write it again"
        ) from None


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
