"""A file of votes as columns of texts: nothing understood yet, and every row can be found again."""

import csv
import json
import re
from array import array
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from evalkit.errors import TableError, listed
from evalkit.vote_files import parquet
from evalkit.vote_files.values import in_one_line

_SURROGATE = re.compile("[\ud800-\udfff]")
_CHUNK = 1000  # rows read before they are put into columns: few, so that they stay in the cache


@dataclass(frozen=True)
class Cells:
    """Columns of texts of one length; an empty cell is "".

    `found` are the names of all columns of the file, of which `columns` has those that were wanted.
    `numbers` says where each row stands, counted from 1: in lines, or in rows (`counted`). `names`
    says what the file calls a column that has another name here.
    """

    path: Path
    found: tuple[str, ...]
    columns: dict[str, np.ndarray]
    numbers: np.ndarray
    counted: str = "line"
    names: dict[str, str] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.numbers)

    def take(self, mask: np.ndarray) -> "Cells":
        """The rows where the mask holds."""
        columns = {name: cells[mask] for name, cells in self.columns.items()}
        return replace(self, columns=columns, numbers=self.numbers[mask])

    def refuse(self, row: int, column: str, why: str) -> NoReturn:
        """Raise the TableError about one cell: where it stands, then `why`."""
        name = self.names.get(column, column)
        place = f"{self.counted} {self.numbers[row]}, column {name}"
        raise TableError(in_one_line(f"{self.path}: {place}: {why}"))


def read_cells(path: Path, wanted: Set[str]) -> Cells:
    """The wanted columns of a CSV, TSV, JSONL or Parquet file, by its ending, where it has them.

    TableError where there is no such file, its ending is another, or it is damaged: a row with too
    many or too few cells, a column named twice, a quote that never ends, a line that is not JSON.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise TableError(
            f'{path}: the ending "{path.suffix}"; allowed are {listed(READERS)}; save the votes in '
            "one of these formats"
        )
    if not path.is_file():
        raise TableError(f"{path}: no such file; a table of votes is needed there")
    return reader(path, wanted)


def _read_delimited(path: Path, wanted: Set[str]) -> Cells:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(
                stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True
            )
            return _read_rows(path, reader, wanted)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(
            f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8"
        ) from None


def _read_rows(path: Path, reader: Any, wanted: Set[str]) -> Cells:
    """Cells from a `csv.reader`."""
    header = next(reader, None)
    if header is None:
        raise TableError(f"{path}: is empty; a table begins with a line of column names")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise TableError(f"{path}: column {twice[0]} stands twice; remove or rename one of them")
    columns = _Columns([name for name in header if name in wanted])
    places = [header.index(name) for name in columns.names]
    lines = array("q")
    while rows := _next_rows(path, reader, len(header), lines):
        cells = list(zip(*rows, strict=True))
        columns.extend([cells[place] for place in places])
    return Cells(path, tuple(header), columns.arrays(), np.array(lines, dtype=np.int64))


def _next_rows(path: Path, reader: Any, width: int, lines: array) -> list[list[str]]:
    """The next rows, their first lines appended to `lines`; TableError on one of another width."""
    rows = []
    first = reader.line_num + 1
    for row in islice(reader, _CHUNK):
        if len(row) != width:
            raise TableError(
                f"{path}: line {first}: {len(row)} cells; allowed are {width}, as many as the "
                "header has; correct the row"
            )
        rows.append(row)
        lines.append(first)
        first = reader.line_num + 1
    return rows


def _read_json_lines(path: Path, wanted: Set[str]) -> Cells:
    found: dict[str, None] = {}
    rows = []
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for row in _json_objects(path, stream):
                found.update(dict.fromkeys(row))
                rows.append({name: row[name] for name in row.keys() & wanted})
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: cannot be read ({error}); save it in UTF-8") from None
    columns = _Columns([name for name in found if name in wanted])
    for name in columns.names:
        texts = [
            _json_text(path, line, name, row.get(name)) for line, row in enumerate(rows, start=1)
        ]
        columns.extend_one(name, texts)
    return Cells(path, tuple(found), columns.arrays(), np.arange(1, len(rows) + 1))


def _json_objects(path: Path, stream: Any) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    for line, text in enumerate(stream, start=1):
        try:
            row = decoder.decode(text)
        except (ValueError, RecursionError) as error:
            raise TableError(
                f"{path}: line {line}: cannot be read ({in_one_line(str(error))}); allowed is one "
                "JSON object per line; correct the line"
            ) from None
        if not isinstance(row, dict):
            raise TableError(
                f"{path}: line {line}: {text.strip()[:40]}; allowed is an object, a vote by column "
                "name; correct the line"
            )
        yield row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; ValueError where a key stands twice, of which only one would be read."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f'"{next(key for key in keys if keys.count(key) > 1)}" stands twice')
    return found


def _json_text(path: Path, line: int, name: str, value: Any) -> str:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise TableError(
                f"{path}: line {line}, column {name}: half of a character (a lone surrogate); "
                "allowed is text that UTF-8 can hold; correct it"
            )
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    kind = "a list" if isinstance(value, list) else "an object"
    raise TableError(
        f"{path}: line {line}, column {name}: {kind}; allowed is a text or a number; correct it"
    )


def _read_parquet(path: Path, wanted: Set[str]) -> Cells:
    with parquet.opened(path) as file:
        columns = _Columns([name for name in file.names if name in wanted])
        for name in columns.names:
            columns.extend_one(name, file.texts(name))
        n = file.n
        found = file.names
    return Cells(path, found, columns.arrays(), np.arange(1, n + 1), counted="row")


class _Columns:
    """Columns that grow; each different text of a column is kept once."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self._cells: list[list[str]] = [[] for _ in names]
        self._texts: list[dict[str, str]] = [{} for _ in names]

    def extend(self, columns: list[tuple[str, ...]]) -> None:
        """Append to every column, given in the order of the names."""
        for cells, texts, more in zip(self._cells, self._texts, columns, strict=True):
            cells.extend(map(texts.setdefault, more, more))

    def extend_one(self, name: str, more: list[str]) -> None:
        """Append to one column."""
        place = self.names.index(name)
        self._cells[place].extend(map(self._texts[place].setdefault, more, more))

    def arrays(self) -> dict[str, np.ndarray]:
        """The columns by name, as arrays of objects."""
        return {
            name: np.array(cells, dtype=object)
            for name, cells in zip(self.names, self._cells, strict=True)
        }


READERS: dict[str, Callable[[Path, Set[str]], Cells]] = {
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
