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
from evalkit.files import file_sha256, part_name, remove_leftovers, write_json
from evalkit.result_tables.estimates import is_table, table_of

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
    """Write all tables, and summary.json with their hashes, into the folder `out`.

    They are written in a hidden folder in it and change places with those of an earlier analysis
    when all are there; other files stay, and so does a comparisons.csv that is not written anew.
    summary.json goes first and comes last: a folder with one holds the tables of one analysis, even
    after a kill. StudyError, with nothing changed, where `out` is a file or a folder has the name
    of a table.
    """
    require_folder(out)
    _require_places(out, [*map(_file_name, analysis.results), _SUMMARY])
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    part = out / part_name()
    part.mkdir()
    try:
        new = part / "new"
        for name, frame in analysis.results.items():
            tables.write(frame, new / _file_name(name), table_of(name))
        hashes = {path.name: file_sha256(path) for path in sorted(new.iterdir())}
        write_json(new / _SUMMARY, {**analysis.summary, "tables_sha256": hashes})
        _exchange(new, part / "earlier", out)
    finally:
        shutil.rmtree(part)


def require_folder(out: Path) -> None:
    """StudyError where `out` is a file, or the folder of a study, which has tables of its own."""
    if out.exists() and not out.is_dir():
        raise StudyError(f"--out: {out} is a file; give a folder for the tables")
    if (out / "study.toml").is_file():
        raise StudyError(
            f"--out: {out} is a study, which keeps its own tables in analysis/; give a folder of "
            "their own to these"
        )


def _file_name(table: str) -> str:
    return f"{table}.csv"


def _require_places(out: Path, names: list[str]) -> None:
    """StudyError where a folder has the name of a file that is to be written into `out`."""
    for name in names:
        if (out / name).is_dir():
            raise StudyError(
                f"{out / name}: a folder has the name of a table; only a file can be replaced; "
                "move it away, or write the tables elsewhere"
            )


def _exchange(new: Path, earlier: Path, out: Path) -> None:
    """Move the tables in `out` to `earlier` and those in `new` to `out`; back if that fails."""
    earlier.mkdir()
    moved = []
    try:
        for path in sorted(_earlier(out, new), key=lambda path: path.name != _SUMMARY):
            path.replace(earlier / path.name)
        for path in sorted(new.iterdir(), key=lambda path: path.name == _SUMMARY):
            moved.append(path.replace(out / path.name))
    except BaseException:
        for path in moved:
            path.unlink()
        for path in sorted(earlier.iterdir(), key=lambda path: path.name == _SUMMARY):
            path.replace(out / path.name)
        raise


def _earlier(out: Path, new: Path) -> Iterator[Path]:
    """The files that `new` replaces and other results; votes may be the user's own, and stay."""
    for path in out.iterdir():
        is_result = path.suffix == ".csv" and is_table(path.stem) and path.stem != _VOTES
        if path.is_file() and (is_result or (new / path.name).exists()):
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
