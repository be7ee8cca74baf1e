"""The tables of an export, without images: CSV, or Parquet by DuckDB."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from evalkit import tables
from evalkit.exports.cards import tables_card
from evalkit.exports.published import Published
from evalkit.exports.written import Written
from evalkit.files import write_text

Write = Callable[[pd.DataFrame, Path], None]


def write_csv(content: Published, target: Path) -> Written:
    """Write votes, prompts, images and pairs as CSV, and README.md."""
    return _write(content, target, ".csv", _write_csv)


def write_parquet(content: Published, target: Path) -> Written:
    """Write votes, prompts, images and pairs as Parquet, and README.md."""
    return _write(content, target, ".parquet", _write_parquet)


def _write(content: Published, target: Path, ending: str, write: Write) -> Written:
    found = {
        "votes": content.votes,
        "prompts": content.prompts,
        "images": content.images,
        "pairs": content.pairs,
    }
    for name, frame in found.items():
        labelled = frame if name == "votes" else tables.label_simulated(frame, content.simulated)
        write(labelled, target / f"{name}{ending}")
    write_text(target / "README.md", tables_card(content, ending))
    return Written({f"{name}{ending}": len(frame) for name, frame in found.items()})


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.register("exported", frame)
        connection.table("exported").write_parquet(str(path))
