"""images.csv and manifest.json, rebuilt from the records beside the images."""

from statistics import median
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.files import write_json
from evalkit.generation.record import Record, read_record, read_run
from evalkit.pipelines import NOISE
from evalkit.study_folder import StudyFolder

SECONDS = (
    "median over the ok images after the first batch of a run, of the batch's time over its "
    "images, from prompt to pixels, without loading and writing"
)


def write_tables(folder: StudyFolder, plan: pd.DataFrame) -> pd.DataFrame:
    """Write images.csv (`tables.IMAGES`) and manifest.json; gives the images.

    They list what was attempted, in the order of the plan; images of other settings that lie in
    the folder are not in them. The same records give the same files.
    """
    records = {
        image_id: read_record(folder.images / model, image_id)
        for image_id, model in zip(plan["image_id"], plan["model"], strict=True)
    }
    rows = [
        _row(row.prompt_id, row.model, record)
        for row in plan.itertuples()
        if (record := records[row.image_id]) is not None
    ]
    images = pd.DataFrame(rows, columns=tables.IMAGES.names) if rows else tables.IMAGES.empty()
    tables.write(images, folder.images_file, tables.IMAGES)
    models = {
        model.name: [
            records[image_id] for image_id in plan.loc[plan["model"] == model.name, "image_id"]
        ]
        for model in folder.study.models
    }
    write_json(folder.manifest_file, _manifest(folder, models))
    return folder.read_images()


def _row(prompt_id: str, model: str, record: Record) -> dict[str, Any]:
    return {
        "image_id": record.image_id,
        "prompt_id": prompt_id,
        "model": model,
        "seed": record.seed,
        "file_name": f"{model}/{record.image_id}.png" if record.status == "ok" else "",
        "width": record.width,
        "height": record.height,
        "sha256": record.sha256,
        "seconds": None if record.first_batch else record.seconds,  # that batch warms up
        "status": record.status,
    }


def _manifest(folder: StudyFolder, models: dict[str, list[Record | None]]) -> dict[str, Any]:
    everything = [record for records in models.values() for record in records]
    return {
        "study": folder.study.name,
        "study_sha256": folder.study.sha256,
        "notes": {"noise": NOISE, "seconds_per_image": SECONDS},
        "images": _counts(everything),
        "models": {
            spec.name: _model(folder, spec.name, spec.model_dump(), models[spec.name])
            for spec in folder.study.models
        },
    }


def _model(
    folder: StudyFolder, name: str, settings: dict[str, Any], records: list[Record | None]
) -> dict[str, Any]:
    made = [record for record in records if record is not None]
    runs = []
    for run in sorted({record.run for record in made}):
        own = [record for record in made if record.run == run]
        made_with = read_run(folder.images / name, run)
        runs.append({"run": run, "images": _counts(own), **_seconds(own), **made_with})
    failures = sorted({record.reason for record in made if record.reason})
    return {"settings": settings, "images": _counts(records), "reasons": failures, "runs": runs}


def _counts(records: list[Record | None]) -> dict[str, int]:
    found = [record.status if record else "missing" for record in records]
    return {status: found.count(status) for status in (*tables.IMAGE_STATUSES, "missing")}


def _seconds(records: list[Record]) -> dict[str, Any]:
    warm = [r.seconds for r in records if r.status == "ok" and not r.first_batch]
    return {"seconds_per_image": median(warm) if warm else None, "seconds_n": len(warm)}
