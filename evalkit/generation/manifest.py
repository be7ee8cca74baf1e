"""images.csv and manifest.json, rebuilt from the records beside the images."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.files import write_json
from evalkit.generation.made_with import read_run
from evalkit.generation.record import Record
from evalkit.pipelines import NOISE
from evalkit.study_folder import StudyFolder

SECONDS = (
    "median over the ok images after the first batch of its size, of the batch's time over its "
    "images, from prompt to pixels, without loading and writing"
)


def write_tables(
    folder: StudyFolder, plan: pd.DataFrame, records: dict[str, Record]
) -> pd.DataFrame:
    """Write images.csv (`tables.IMAGES`) and manifest.json; gives the images.

    They list what was attempted, in the order of the plan; images of other settings that lie in
    the folder are not in them. The same records give the same files.
    """
    found = [records.get(image_id) for image_id in plan["image_id"]]
    rows = [
        _row(prompt_id, model, record)
        for prompt_id, model, record in zip(plan["prompt_id"], plan["model"], found, strict=True)
        if record is not None
    ]
    images = pd.DataFrame(rows, columns=tables.IMAGES.names) if rows else tables.IMAGES.empty()
    tables.write(images, folder.images_file, tables.IMAGES)
    models: dict[str, list[Record | None]] = {name: [] for name in folder.study.model_names}
    for model, record in zip(plan["model"], found, strict=True):
        models[model].append(record)
    write_json(folder.manifest_file, _manifest(folder, models))
    return tables.check(images, tables.IMAGES, str(folder.images_file))


def _row(prompt_id: str, model: str, record: Record) -> tuple[Any, ...]:
    """In the order of `tables.IMAGES`; the first batch warms up, so its time is left out."""
    return (
        record.image_id,
        prompt_id,
        model,
        record.seed,
        f"{model}/{record.image_id}.png" if record.status == "ok" else "",
        record.width,
        record.height,
        record.sha256,
        None if record.first_batch else record.seconds,
        record.status,
    )


def _manifest(folder: StudyFolder, models: dict[str, list[Record | None]]) -> dict[str, Any]:
    return {
        "study": folder.study.name,
        "study_sha256": folder.study.sha256,
        "notes": {"noise": NOISE, "seconds_per_image": SECONDS},
        "images": _counts(record for records in models.values() for record in records),
        "models": {
            spec.name: _model(folder, spec.name, spec.model_dump(), models[spec.name])
            for spec in folder.study.models
        },
    }


def _model(
    folder: StudyFolder, name: str, settings: dict[str, Any], records: Sequence[Record | None]
) -> dict[str, Any]:
    by_run: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record is not None:
            by_run[record.run].append(record)
    runs = [
        {"run": run, "images": _counts(own), **_seconds(own), **read_run(folder.images / name, run)}
        for run, own in sorted(by_run.items())
    ]
    reasons = {record.reason for own in by_run.values() for record in own if record.reason}
    return {
        "settings": settings,
        "images": _counts(records),
        "reasons": sorted(reasons),
        "runs": runs,
    }


def _counts(records: Iterable[Record | None]) -> dict[str, int]:
    found = Counter(record.status if record else "missing" for record in records)
    return {status: found[status] for status in (*tables.IMAGE_STATUSES, "missing")}


def _seconds(records: list[Record]) -> dict[str, Any]:
    warm = [
        record.seconds
        for record in records
        if record.status == "ok" and not record.first_batch and record.seconds is not None
    ]
    return {"seconds_per_image": median(warm) if warm else None, "seconds_n": len(warm)}
