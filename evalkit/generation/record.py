"""What is known of one image, in a file beside it: the truth from which tables are rebuilt."""

import json
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from evalkit.files import write_json
from evalkit.tables import IMAGE_STATUSES


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt at an image.

    `seconds`: the batch's time over its images, from prompt to pixels; None where that says nothing
    of the model. `first_batch`: made in the first batch of its size after loading, which is slower.
    `run`: the id of the file that says what made it. `sha256` and `n_bytes`: of the PNG file, empty
    and 0 where there is none. `source_sha256`: of the file that an imported image was read from.
    """

    image_id: str
    prompt: str
    seed: int
    status: str
    reason: str
    width: int
    height: int
    sha256: str
    seconds: float | None
    first_batch: bool
    run: str
    n_bytes: int = 0  # this and the next are not in records of evalkit 0.1.0
    source_sha256: str = ""


_TYPES = {
    field.name: (int, float, type(None)) if field.name == "seconds" else (field.type,)
    for field in fields(Record)
}


def image_file(folder: Path, image_id: str) -> Path:
    """The PNG of an image in its model's folder."""
    return folder / f"{image_id}.png"


def record_file(folder: Path, image_id: str) -> Path:
    """The record beside it."""
    return folder / f"{image_id}.json"


def write_record(folder: Path, record: Record) -> None:
    """Write the record; to be done after its image, so that a record vouches for the image."""
    write_json(record_file(folder, record.image_id), asdict(record))


def parse_record(data: bytes, image_id: str) -> Record | None:
    """The record of this image in the bytes of a file; None where they do not hold one."""
    try:
        content = json.loads(data)
        record = Record(**content)
    except (ValueError, TypeError):
        return None
    if any(type(getattr(record, name)) not in kinds for name, kinds in _TYPES.items()):
        return None
    if record.image_id != image_id or record.status not in IMAGE_STATUSES:
        return None
    # A prompt and a run stand in many records: one copy of each is kept.
    shared = {name: sys.intern(content[name]) for name in ("prompt", "run", "status", "reason")}
    return Record(**{**content, **shared})
