"""What is known of one image, in a file beside it: the truth from which tables are rebuilt."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import ModelError
from evalkit.files import file_sha256, write_json
from evalkit.tables import IMAGE_STATUSES

_DECISIVE = (  # what decides the pixels beside the settings, up to the last bit of a sum
    "pipeline",
    "precision",
    "vae_precision",
    "scheduler",
    "commit",
    "unet_commit",
    "lora_commit",
)


@dataclass(frozen=True)
class Record:
    """One attempt at an image.

    `seconds`: the batch's time over its images, from prompt to pixels. `first_batch`: made in the
    first batch after loading, which is slower. `run`: the id of the file that says what made it.
    `sha256`: of the PNG file, empty where there is none.
    """

    image_id: str
    prompt: str
    seed: int
    status: str
    reason: str
    width: int
    height: int
    sha256: str
    seconds: float
    first_batch: bool
    run: str


def image_file(folder: Path, image_id: str) -> Path:
    """The PNG of an image in its model's folder."""
    return folder / f"{image_id}.png"


def record_file(folder: Path, image_id: str) -> Path:
    """The record beside it."""
    return folder / f"{image_id}.json"


def write_record(folder: Path, record: Record) -> None:
    """Write the record; to be done after its image, so that a record vouches for the image."""
    write_json(record_file(folder, record.image_id), asdict(record))


def read_record(folder: Path, image_id: str) -> Record | None:
    """The record of an image; None where there is none or where it is not readable."""
    try:
        record = Record(**json.loads(record_file(folder, image_id).read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return record if record.image_id == image_id and record.status in IMAGE_STATUSES else None


def is_intact(folder: Path, record: Record) -> bool:
    """Whether nothing is left to do: the PNG is the one recorded, or the safety filter decided."""
    if record.status == "filtered":
        return True
    return record.status == "ok" and holds(image_file(folder, record.image_id), record.sha256)


def holds(file: Path, sha256: str) -> bool:
    """Whether the file is there and is the one of this hash."""
    return file.is_file() and file_sha256(file) == sha256


def write_run(folder: Path, made_with: dict[str, Any]) -> str:
    """Write down what made the images of one loading; gives the id that their records name."""
    canonical = json.dumps(made_with, sort_keys=True)
    run = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    write_json(_run_file(folder, run), made_with)
    return run


def read_run(folder: Path, run: str) -> dict[str, Any]:
    """What made the images of a run; empty where its file was taken away."""
    file = _run_file(folder, run)
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def require_alike(folder: Path, image_ids: Iterable[str], made_with: dict[str, Any]) -> None:
    """ModelError where images that are there were made by another checkpoint or precision.

    The runs of these images are compared in `_DECISIVE`, as far as they say it.
    """
    records = [read_record(folder, image_id) for image_id in image_ids]
    for run in sorted({record.run for record in records if record is not None}):
        then = read_run(folder, run)
        for key in _DECISIVE:
            now = made_with.get(key)
            if then.get(key, now) != now:
                raise ModelError(
                    f"models.{folder.name}: images in {folder} were made with {key} {then[key]}, "
                    f"and now it is {now}; a model's images are made alike; use the "
                    "device and checkpoint of then, or delete that folder to make all of them "
                    "anew (a revision in study.toml keeps a checkpoint from moving)"
                )


def _run_file(folder: Path, run: str) -> Path:
    return folder / f"run-{run}.json"
