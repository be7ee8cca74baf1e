"""Files of prompts: a reader for each format, from a file to rows that know their place in it."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from evalkit.errors import StudyError
from evalkit.files import file_sha256


@dataclass(frozen=True)
class SourceRows:
    """What stands in a source, as it stands there.

    `cells` has the source's own columns, in lower case. `places` names each row as a reader of the
    source finds it: `row 2` is the first below a header, `file 7.txt` one of a folder. `where`
    names the source in sentences, `stem` in the ids of its prompts. Images that it names are looked
    up from `folder`. `origin` is what is recorded: the `sha256` of a file, the hub's `commit`.
    """

    cells: pd.DataFrame
    places: list[str]
    where: str
    stem: str
    folder: Path | None = None
    origin: dict[str, str | None] = field(default_factory=dict)


def read_file(path: Path, where: str = "") -> SourceRows:
    """The rows of a file, by its ending; StudyError where it is not readable as that.

    Empty lines at the end are no rows. `where` names the file in sentences (its path).
    """
    read, first = READERS[path.suffix.lower()]
    try:
        cells = read(path)
        sha256 = file_sha256(path)
    except (ValueError, OSError) as error:  # ValueError: pandas' own, and wrong encodings
        reason = str(error).strip().splitlines()[0]
        header = " with a header" if first == 2 else ""
        raise StudyError(
            f"{path}: not readable as {path.suffix} ({reason}); save it as UTF-8{header}"
        ) from None
    if not isinstance(cells.index, pd.RangeIndex):  # pandas takes a cell too many for a row's name
        raise StudyError(
            f"{path}: a row has more cells than the header; quote a prompt that has a comma"
        )
    cells = with_plain_names(cells)
    places = [f"row {number}" for number in range(first, first + len(cells))]
    origin = {"sha256": sha256}
    return SourceRows(cells, places, where or str(path), path.stem.lower(), path.parent, origin)


def read_folder(path: Path) -> SourceRows:
    """A prompt per .txt file, named by the file's name, in the order of the numbers in the names.

    StudyError where there is none, or where one is not readable as UTF-8.
    """
    files = sorted(path.glob("*.txt"), key=_by_number)
    if not files:
        raise StudyError(
            f"{path}: no .txt file in this folder; a folder has one file per prompt; put them there"
        )
    texts = []
    for file in files:
        try:
            texts.append(file.read_text("utf-8-sig"))
        except (ValueError, OSError) as error:
            raise StudyError(f"{file}: not readable as .txt ({error}); save it as UTF-8") from None
    cells = pd.DataFrame({"prompt_id": [file.stem for file in files], "prompt": texts})
    places = [f"file {file.name}" for file in files]
    return SourceRows(cells, places, str(path), path.name.lower(), path)


def with_plain_names(cells: pd.DataFrame) -> pd.DataFrame:
    """With the names of the columns in lower case and without blanks around them."""
    return cells.rename(columns=lambda name: str(name).strip().lower())


def _without_end(cells: pd.DataFrame) -> pd.DataFrame:
    """Without the empty lines at the end, which are read so that other rows keep their number."""
    filled = (cells.fillna("") != "").any(axis=1).to_numpy().nonzero()[0]
    return cells.head(int(filled[-1]) + 1 if len(filled) else 0)


def _by_number(file: Path) -> list[tuple[int, str]]:
    """Sorts 2.txt before 10.txt."""
    parts = re.split(r"(\d+)", file.stem)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _read_csv(path: Path) -> pd.DataFrame:
    return _without_end(pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False))


def _read_tsv(path: Path) -> pd.DataFrame:
    # Quotes are literal, as in the PartiPrompts file.
    return _without_end(
        pd.read_csv(
            path,
            sep="\t",
            quoting=csv.QUOTE_NONE,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
        )
    )


def _read_jsonl(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(path.read_text("utf-8-sig").rstrip().split("\n"), start=1):
        try:
            row = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError as error:
            reason = f"is no JSON ({error.msg} at character {error.pos + 1})"
            raise _bad_row(path, number, reason) from None
        if not isinstance(row, dict):
            raise _bad_row(path, number, "is no object of keys and values")
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def _bad_row(path: Path, number: int, reason: str) -> StudyError:
    return StudyError(
        f'{path}: row {number} {reason}; each row is an object, {{"prompt": "..."}}; correct it'
    )


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except ImportError as error:
        raise StudyError(
            f"{path}: a .parquet file is read by the package {error.name or 'pyarrow'}, which is "
            'not installed; run pip install "evalkit[generate]", or save it as .csv'
        ) from None


def _read_lines(path: Path) -> pd.DataFrame:
    return pd.DataFrame({"prompt": path.read_text("utf-8-sig").rstrip().split("\n")}, dtype=object)


READERS: dict[str, tuple[Callable[[Path], pd.DataFrame], int]] = {  # and the first prompt's row
    ".tsv": (_read_tsv, 2),
    ".csv": (_read_csv, 2),
    ".jsonl": (_read_jsonl, 1),
    ".parquet": (_read_parquet, 1),
    ".txt": (_read_lines, 1),
}
