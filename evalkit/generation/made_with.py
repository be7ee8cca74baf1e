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
    "source_sha256",  # of a function's file
)  # and each setting in scheduler_config
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
    """ModelError where images that are there were made by another checkpoint, code or precision.

    `runs` are those of these images; they are compared in `_DECISIVE`, as far as they say it.
    """
    for run in sorted(set(runs)):
        key, then, now = _difference(read_run(folder, run), made_with)
        if key:
            raise ModelError(
                f"models.{folder.name}: images in {folder} were made with {key} {then}, "
                f"and now it is {now}; a model's images are made alike; use the device, checkpoint "
                "and code of then, or delete that folder to make all of them anew (a revision in "
                "study.toml keeps a checkpoint from moving)"
            )


def require_same(name: str, first: dict[str, Any], other: dict[str, Any]) -> None:
    """ModelError where two workers would make the images of the model `name` otherwise."""
    key, one, two = _difference(first, other)
    if key:
        raise ModelError(
            f"models.{name}: a worker makes images with {key} {one}, and another with {key} {two}; "
            "a model's images are made alike; give all machines the same checkpoint, code and "
            "kind of device (a revision in study.toml keeps a checkpoint from moving), and run "
            "again: what is made is kept"
        )


def _difference(then: dict[str, Any], now: dict[str, Any]) -> tuple[str, Any, Any]:
    """The first decisive key in which `now` is not as `then` says; an empty key where none is."""
    new = _flat(now)
    for key, value in _flat(then).items():
        if new.get(key) != value:
            return key, value, new.get(key)
    return "", None, None


def _flat(made_with: dict[str, Any]) -> dict[str, Any]:
    """What is decisive, as a file gives it back, with the settings of a scheduler one by one."""
    found = {key: made_with[key] for key in _DECISIVE if key in made_with}
    settings = json.loads(json.dumps(made_with.get("scheduler_config") or {}))
    schedulers = settings if isinstance(settings, list) else [settings]  # of a cascade, several
    for number, scheduler in enumerate(schedulers):
        place = f"scheduler_config.{number}" if isinstance(settings, list) else "scheduler_config"
        found.update((f"{place}.{key}", value) for key, value in scheduler.items())
    return found


def _run_file(folder: Path, run: str) -> Path:
    return folder / f"run-{run}.json"
