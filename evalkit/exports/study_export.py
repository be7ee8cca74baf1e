"""A study -> a folder for others, written whole or not at all."""

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.early_looks import planned_votes, record_look, require_planned
from evalkit.errors import EvalkitError, StudyError, listed, nearest
from evalkit.exports.flat_tables import write_csv, write_parquet
from evalkit.exports.image_rows import write_datasets
from evalkit.exports.pickapic import write_pickapic
from evalkit.exports.preferences import write_preferences
from evalkit.exports.published import Published, published
from evalkit.exports.written import Written
from evalkit.files import part_name, remove_leftovers
from evalkit.lock import open_votes, require_same_study, require_unchanged
from evalkit.study_folder import StudyFolder

FORMATS: dict[str, Callable[[Published, Path], Written]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "datasets": write_datasets,
    "preference": write_preferences,
    "pickapic": write_pickapic,
}
_WITH_A_ROW_PER_VOTE = ("csv", "parquet", "datasets")


@dataclass(frozen=True)
class Export:
    """What was written: rows by file, what was left out by reason, and what must be said first."""

    folder: Path
    format: str
    rows: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)
    stamps: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "folder": str(self.folder),
            "format": self.format,
            "rows": self.rows,
            "left_out": self.left_out,
            "stamps": self.stamps,
        }


def export_study(
    folder: StudyFolder,
    to: Path,
    format: str = "csv",
    *,
    early_at: str | None = None,
    drop_annotators: bool = False,
    with_reasons: bool = False,
) -> Export:
    """Write the study's votes into the folder `to`, which must be new or empty.

    `format` is one of FORMATS. `early_at` is the time of an export before the planned votes are
    there, which the study's log keeps as an early look. EvalkitError on an unknown format and on
    options that it has no place for; StudyError where `to` holds something, before the first vote,
    where planned votes are missing and `early_at` is None, and where the study has changed since.
    Nothing is left in `to` then.
    """
    _require_options(format, drop_annotators, with_reasons)
    _require_free(to)
    require_unchanged(folder)
    with closing(open_votes(folder)) as store:
        require_same_study(folder, store)
        planned = planned_votes(store, folder.study.stopping.rule)
        if early_at is None:
            require_planned(planned, folder.root, folder.root)
        content = published(
            folder, store, planned, drop_annotators=drop_annotators, with_reasons=with_reasons
        )
        to.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(to.parent)
        part = to.parent / part_name()
        part.mkdir()
        try:
            written = FORMATS[format](content, part)
            if early_at is not None and planned.is_early:
                record_look(store, planned, early_at)
            part.replace(to)  # an empty folder gives way
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return Export(to, format, written.rows, written.left_out, content.stamps)


def _require_options(format: str, drop_annotators: bool, with_reasons: bool) -> None:
    if format not in FORMATS:
        raise EvalkitError(
            f'--format: "{format}"; allowed is one of {listed(FORMATS)}{nearest(format, FORMATS)}; '
            "choose one"
        )
    if with_reasons and format not in _WITH_A_ROW_PER_VOTE:
        raise EvalkitError(
            f"--with-reasons: the format {format} has no place for reasons; allowed is it with "
            f"{listed(_WITH_A_ROW_PER_VOTE)}; leave it out"
        )
    if drop_annotators and format == "pickapic":
        raise EvalkitError(
            "--drop-annotators: each row of Pick-a-Pic has a user_id; allowed is it with the other "
            "formats; leave it out, or choose preference, which names no annotators"
        )


def _require_free(to: Path) -> None:
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise StudyError(f"--to: {to} is no folder; give the name of a new one")
    if to.is_dir() and any(to.iterdir()):
        raise StudyError(
            f"--to: {to} is there and not empty, and nothing in it is written over; give the name "
            "of a new folder"
        )
