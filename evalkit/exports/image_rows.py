"""Rows with images in them: Parquet files that the library `datasets` opens by itself."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.errors import EvalkitError, StudyError
from evalkit.exports.cards import datasets_card
from evalkit.exports.published import Published
from evalkit.exports.written import Written
from evalkit.files import read_bytes, write_text

IMAGE = "image"  # the kind of a column whose cells are images
_KINDS = {"i": "int64", "f": "float64", "b": "bool"}  # of pandas; all others are texts
_OF_AN_IMAGE = [
    "image_id", "prompt_id", "prompt", "category", "challenge", "model", "seed", "width", "height",
    "sha256",
]  # fmt: skip
_ROWS_IN_MEMORY = 100  # so that a large study's images need not fit there together


class ImageFiles:
    """The images of a study by id, read from its folder when they are wanted."""

    def __init__(self, content: Published) -> None:
        self._folder = content.folder.images
        by_id = content.images.set_index("image_id")
        self._names, self._sha256 = by_id["file_name"].to_dict(), by_id["sha256"].to_dict()

    def bytes_of(self, image_id: str) -> bytes:
        """The file's bytes; StudyError where it cannot be read, or is not the image listed."""
        path = self._folder / self._names[image_id]
        try:
            data = read_bytes(path)
        except OSError as error:
            raise StudyError(
                f"{path}: the image cannot be read ({error.strerror or error}); make it again "
                "with: evalkit generate"
            ) from None
        listed = self._sha256[image_id]
        if listed and hashlib.sha256(data).hexdigest() != listed:
            raise StudyError(
                f"{path}: is not the image that images.csv lists (another sha256), on which people "
                "voted; put it back from a copy"
            )
        return data

    def cell(self, image_id: str) -> dict[str, Any]:
        """A cell of a column of kind IMAGE."""
        return {"bytes": self.bytes_of(image_id), "path": Path(self._names[image_id]).name}


def write_datasets(content: Published, target: Path) -> Written:
    """Write the configurations images and comparisons, and the data set's card.

    `load_dataset(target, "images")` has a row per image with its prompt, `"comparisons"` a row per
    vote, which names its images by id.
    """
    images = content.images.merge(
        content.prompts[["prompt_id", "prompt", "category", "challenge"]], on="prompt_id"
    )
    images = tables.label_simulated(images[_OF_AN_IMAGE], content.simulated)
    files, votes = ImageFiles(content), content.votes
    rows = ({"image": files.cell(row["image_id"]), **row} for row in records(images))
    write_rows(target / "images" / "train.parquet", {"image": IMAGE, **kinds_of(images)}, rows)
    write_rows(target / "comparisons" / "train.parquet", kinds_of(votes), records(votes))
    write_text(target / "README.md", datasets_card(content))
    return Written({"images/train.parquet": len(images), "comparisons/train.parquet": len(votes)})


def kinds_of(frame: pd.DataFrame) -> dict[str, str]:
    """The kind of each column, as `datasets` calls it."""
    return {name: _KINDS.get(frame[name].dtype.kind, "string") for name in frame.columns}


def records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows one by one; what is missing is None."""
    yield from frame.astype(object).where(frame.notna(), None).to_dict("records")


def write_rows(path: Path, kinds: dict[str, str], rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as one Parquet file that `datasets` reads with these kinds of columns.

    EvalkitError where that library is not installed.
    """
    try:
        import pyarrow as pa
        from datasets import Features, Image, Value
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise EvalkitError(
            "export: this format needs datasets, which is not installed; run: "
            'pip install "evalkit[generate]", or choose --format csv or parquet'
        ) from None
    features = Features(
        {name: Image() if kind == IMAGE else Value(kind) for name, kind in kinds.items()}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with ParquetWriter(path, features.arrow_schema) as writer:
        waiting = iter(rows)
        while batch := list(islice(waiting, _ROWS_IN_MEMORY)):
            writer.write_table(pa.Table.from_pylist(batch, schema=features.arrow_schema))
