"""What made the images of a model, one file per set-up; a model's images are made alike."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evalkit.errors import ModelError
from evalkit.files import read_bytes, write_json

_DECISIVE = (  # what decides the pixels beside the settings, up to the last bit of a sum
    "pipeline",
    "precision",
    "vae_precision",
    "scheduler",
    "commit",
    "unet_commit",
    "lora_commit",
    "vae_commit",
)
_MEASURED = ("load_seconds",)  # of one loading; not part of the set-up


def write_run(folder: Path, made_with: dict[str, Any]) -> str:
    """Write down a set-up; gives the id that the records of its images name.

    The same set-up has the same id and one file, whichever process writes it.
    """
    content = {key: value for key, value in made_with.items() if key not in _MEASURED}
    canonical = json.dumps(content, sort_keys=True)
    run = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    if not read_run(folder, run):
        write_json(_run_file(folder, run), made_with)
    return run


def read_run(folder: Path, run: str) -> dict[str, Any]:
    """What made the images of a run; empty where its file was taken away or is not readable."""
    try:
        content = json.loads(read_bytes(_run_file(folder, run)))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def require_alike(folder: Path, runs: Iterable[str], made_with: dict[str, Any]) -> None:
    """ModelError where images that are there were made by another checkpoint or precision.

    `runs` are those of these images; they are compared in `_DECISIVE`, as far as they say it.
    """
    for run in sorted(set(runs)):
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
