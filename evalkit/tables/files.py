"""Tables as CSV (or TSV) files: read and checked, written whole or not at all."""

import csv
from pathlib import Path

import pandas as pd

from evalkit.errors import TableError
from evalkit.files import write_text
from evalkit.tables.checking import check
from evalkit.tables.columns import FIRST_LINE, Table


def read(path: Path, table: Table) -> pd.DataFrame:
    """The table in a CSV file (or TSV, by its ending), checked; see `check`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","))
    except FileNotFoundError:
        raise TableError(f"{path}: no such file; a {table.name} table is needed there") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(
            f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8"
        ) from None
    if not rows:
        raise TableError(
            f"{path}: is empty; a {table.name} table begins with a line of column names"
        )
    header, body = rows[0], rows[1:]
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise TableError(f"{path}: column {twice[0]} stands twice; remove or rename one of them")
    for number, row in enumerate(body, start=FIRST_LINE):
        if len(row) != len(header):
            raise TableError(
                f"{path}: line {number}: {len(row)} cells; allowed are {len(header)}, as many as "
                "the header has; correct the row"
            )
    return check(pd.DataFrame(body, columns=header, dtype=object), table, str(path))


def write(frame: pd.DataFrame, path: Path, table: Table) -> None:
    """Write the checked table as CSV, whole or not at all; missing cells are empty."""
    write_text(path, check(frame, table, table.name).to_csv(index=False, lineterminator="\n"))
