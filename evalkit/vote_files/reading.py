"""Vote files -> comparisons: read, turned, and every cell checked at the door."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.errors import TableError, listed, nearest
from evalkit.vote_files.cells import Cells, read_cells
from evalkit.vote_files.formats import FORMATS, Format, Turned, own_columns
from evalkit.vote_files.values import (
    MODELS,
    Values,
    check_column,
    check_names,
    check_pairs,
    in_one_line,
    values_of,
)

DEFAULT = "evalkit"
_OF_AN_EXPORT = ("model_a", "model_b", "winner", "left_model", "kind")  # with or without annotators


@dataclass(frozen=True)
class VoteFile:
    """The votes of a file, and what must be said of them.

    `comparisons` has the columns of `tables.IMPORTED_VOTES` that the file has, and any other that
    was asked for. `left_out` counts rows that hold no blind vote on two models, by reason;
    `unknown` names the ids (annotator_id, prompt_id) that the file does not have: each row then
    has one of its own, and nothing can be clustered by it.
    """

    comparisons: pd.DataFrame
    left_out: dict[str, int]
    unknown: tuple[str, ...]


def read_votes(path: Path, format: str | None = None) -> pd.DataFrame:
    """Comparisons from elsewhere (`tables.IMPORTED_VOTES`), a row per vote: `read_vote_file`."""
    return read_vote_file(path, format).comparisons


def read_vote_file(path: Path, format: str | None = None, also: Sequence[str] = ()) -> VoteFile:
    """The votes of a CSV, TSV, JSONL or Parquet file, by its ending.

    `format` is evalkit (the default: `tables.IMPORTED_VOTES`), arena (battles: model_a, model_b,
    winner, and where they are there question_id or prompt_id, judge, anony) or pickapic (model_0,
    model_1, label_0, label_1, caption, user_id, has_label). `also` are further columns to keep.
    A file without rows gives no rows. TableError, with line or row and column, on a cell that is
    not allowed, a model compared with itself, a name that differs by a blank, a trial that stands
    twice; an unknown format, a missing column, evalkit's own columns under another format and a
    damaged file are refused too.
    """
    form = format_of(format)
    cells = read_cells(path, {*form.needs, *form.uses, *also})
    require_columns(path, cells.found, form, also)
    _require_foreign(path, cells.found, form)
    turned = form.turn(cells)
    kept = {name: _kept(cells, turned, name) for name in also}
    own = turned.cells
    check_cells(own)
    for name, texts in kept.items():
        check_column(tables.Column(name, empty=True), values_of(texts), own.refuse)
    columns = {
        name: own.columns[name] for name in tables.IMPORTED_VOTES.names if name in own.columns
    }
    frame = pd.DataFrame(columns | kept, dtype=object)
    if "response_ms" in frame.columns:
        frame["response_ms"] = _milliseconds(frame["response_ms"])
    return VoteFile(frame, turned.left_out, turned.unknown)


def format_of(name: str | None) -> Format:
    """The format of that name, the default for None; TableError on an unknown one."""
    name = name or DEFAULT
    if name not in FORMATS:
        raise TableError(
            f'--format: "{name}"; allowed is one of {listed(FORMATS)}{nearest(name, FORMATS)}; '
            "choose one"
        )
    return FORMATS[name]


def require_columns(
    path: Path, found: Sequence[str], form: Format, also: Sequence[str] = ()
) -> None:
    """TableError where the file lacks a column of its format, or one that was asked for."""
    shown = in_one_line(listed(found))
    for name in form.needs:
        if name not in found:
            if name == "annotator_id" and set(_OF_AN_EXPORT) <= set(found):
                raise TableError(
                    f"{path}: column {name} is missing, as in an export of evalkit without "
                    "annotators; intervals need to know which votes are of one person; export the "
                    "study again without --drop-annotators"
                )
            others = [other.name for other in FORMATS.values() if set(other.needs) <= set(found)]
            other = f"; it looks like --format {others[0]}" if others else ""
            raise TableError(
                f"{path}: column {name} is missing (found: {shown}); votes in the format "
                f"{form.name} need {listed(form.needs)}{other or _renamed(name, found)}"
            )
    for name in also:
        if name not in found:
            raise TableError(
                f"--by: {path} has no column {name}; it has {shown}{nearest(name, found)}"
            )


def _require_foreign(path: Path, found: Sequence[str], form: Format) -> None:
    """TableError where another format would lose what evalkit's own columns say."""
    own = own_columns(found, form)
    if own and form.name != DEFAULT:
        raise TableError(
            f"{path}: column {own[0]} is evalkit's own, and what it says of the votes would be "
            f"lost; allowed in the format {form.name} are logs of others; read it with --format "
            f"{DEFAULT}"
        )


def check_cells(cells: Cells) -> None:
    """TableError on the first cell of each column that its column does not allow."""
    known = {column.name: column for column in tables.IMPORTED_VOTES.columns}
    values: dict[str, Values] = {}
    for name, column in known.items():
        if name in cells.columns:
            values[name] = values_of(cells.columns[name])
            check_column(column, values[name], cells.refuse)
    check_names(values, cells.refuse)
    names = [name for name in (*MODELS, "left_model") if name in cells.columns]
    pairs = pd.DataFrame({name: cells.columns[name] for name in names}, dtype=object)
    pairs = pairs.drop_duplicates()
    check_pairs(pairs.assign(row=pairs.index), cells.refuse)
    _check_trials(cells)


def _check_trials(cells: Cells) -> None:
    """Refuse a trial that stands twice: by its id, or as an annotator's second main vote on a pair
    of images for the same question."""
    columns = cells.columns
    if "trial_id" in columns:
        twice = pd.Series(columns["trial_id"], dtype=object).duplicated().to_numpy()
        if twice.any():
            row = int(twice.argmax())
            cells.refuse(
                row,
                "trial_id",
                f'"{columns["trial_id"][row]}" stands twice; a trial has one vote; remove one row',
            )
    if "pair_id" not in columns:
        return
    counted = columns["pair_id"] != ""
    if "kind" in columns:
        counted &= columns["kind"] == "main"
    key = ("annotator_id", "question_id", "pair_id")
    asked = pd.DataFrame({name: columns[name][counted] for name in key}, dtype=object)
    twice = asked.duplicated().to_numpy()
    if twice.any():
        row = int(np.flatnonzero(counted)[twice.argmax()])
        cells.refuse(
            row,
            "pair_id",
            f'"{columns["pair_id"][row]}" has a second vote of {columns["annotator_id"][row]} on '
            f"{columns['question_id'][row]}; allowed is one, or kind = repeat; correct the row",
        )


def _kept(cells: Cells, turned: Turned, name: str) -> np.ndarray:
    """A further column, for the rows that were not left out."""
    if name in turned.cells.columns:
        return turned.cells.columns[name]
    place = np.searchsorted(cells.numbers, turned.cells.numbers)
    return cells.columns[name][place]


def _milliseconds(texts: pd.Series) -> pd.Series:
    """Whole numbers, or NaN where a cell is empty."""
    numbers = pd.to_numeric(texts.where(texts != ""), errors="raise")
    return numbers.astype("int64") if numbers.notna().all() else numbers.astype(float)


def _renamed(wanted: str, found: Sequence[str]) -> str:
    """What to do about a missing column, where the columns found hint at it."""
    if len(found) == 1 and ";" in found[0]:
        return "; its cells are separated by semicolons: save it with commas"
    return nearest(wanted, found).replace("did you mean", "rename it, if that is it:")
