"""Metrics of spread: how different a prompt's images are across seeds -> spreads/<metric>.csv."""

import pandas as pd

from evalkit import tables
from evalkit.content import spread_contents
from evalkit.errors import StudyError
from evalkit.scoring.images import ok_images
from evalkit.scoring.metric_run import Run
from evalkit.scoring.unit import Unit, hash_images
from evalkit.scoring.writing import write_beside

LEAST = 2  # images of a prompt


def score_spreads(run: Run) -> pd.DataFrame:
    """Measure each prompt and model with two images or more (`tables.SPREADS`).

    Raises StudyError where no prompt has that many.
    """
    folder, job = run.folder, run.job
    images = ok_images(run).sort_values("seed", kind="stable")
    hashes = hash_images(folder, images["file_name"], images["sha256"])
    hashed = images.assign(sha256=images["file_name"].map(hashes))
    contents = spread_contents(hashed, LEAST)
    units, rows = [], []
    for (prompt_id, model), names in images.groupby(["prompt_id", "model"])["file_name"]:
        if len(names) >= LEAST:
            units.append(
                Unit(
                    label=f"{folder.root}: prompt {prompt_id} of {model}",
                    files=tuple(folder.images / name for name in names),
                    hashes=tuple(hashes[name] for name in names),
                )
            )
            rows.append({"prompt_id": prompt_id, "model": model, "n": len(names)})
    if not units:
        raise StudyError(
            f"{folder.root}: {job.metric} compares images of one prompt and model, and none has "
            f"{LEAST} that are ok; give [images] in study.toml two seeds or more"
        )
    answers = run.answer(units)
    spreads = pd.DataFrame(rows).assign(
        metric=job.metric,
        weights=run.weights,
        score=[float(answers[unit.key]["score"]) for unit in units],
        content=list(contents.values()),
    )
    about = ["prompt_id", "model"]
    write_beside(run, spreads, folder.spreads, tables.SPREADS, about, lambda before: contents)
    return spreads
