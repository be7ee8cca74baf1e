"""Result tables on disk: nothing is written over an earlier result before the new one is whole."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.errors import StudyError
from evalkit.files import part_name, write_json
from evalkit.result_tables.estimates import SLICED, TABLES, table_of

_SUMMARY = "summary.json"
_VOTES = "comparisons"  # the table that holds no result


@dataclass(frozen=True)
class Analysis:
    """The result tables by name, and the counts that must be read with them.

    `banner` is what must stand above them, such as that it was an early look.
    """

    results: dict[str, pd.DataFrame]
    summary: dict[str, Any]
    banner: str = ""

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.results[name]

    def as_json(self) -> dict[str, Any]:
        """The summary, and every table but the votes as a list of rows; what is missing is None."""
        found = {name: frame for name, frame in self.results.items() if name != _VOTES}
        return {**self.summary, "tables": {name: rows_of(frame) for name, frame in found.items()}}


def write_analysis(analysis: Analysis, out: Path) -> None:
    """Write all tables and summary.json into the folder `out`.

    They are written beside it first and moved when all are there; tables of an earlier analysis
    that this one does not have are taken away. StudyError where `out` is a file.
    """
    require_folder(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.parent / part_name()
    part.mkdir()
    try:
        for name, frame in analysis.results.items():
            tables.write(frame, part / f"{name}.csv", table_of(name))
        write_json(part / _SUMMARY, analysis.summary)
        out.mkdir(exist_ok=True)
        for path in [path for path in _earlier(out) if not (part / path.name).exists()]:
            path.unlink()
        for path in sorted(part.iterdir(), key=lambda path: path.name == _SUMMARY):
            path.replace(out / path.name)
    finally:
        shutil.rmtree(part)


def require_folder(out: Path) -> None:
    """StudyError where `out` is a file."""
    if out.exists() and not out.is_dir():
        raise StudyError(f"--out: {out} is a file; give a folder for the tables")


def _earlier(out: Path) -> Iterator[Path]:
    """The tables of an earlier analysis; other files of the folder are not ours."""
    for path in out.glob("*.csv"):
        if path.stem in TABLES or path.stem.startswith(SLICED):
            yield path


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, ready for JSON: what is missing is None."""
    if frame.empty:
        return []
    plain = frame.astype(object).where(frame.notna(), None)
    return [
        {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in row.items()
        }
        for row in plain.to_dict("records")
    ]
