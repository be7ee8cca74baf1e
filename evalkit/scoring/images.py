"""Metrics of single images: a score per image -> scores/<metric>.csv."""

from collections.abc import Iterable

import pandas as pd

from evalkit import tables
from evalkit.errors import StudyError, listed
from evalkit.scoring.metric_run import Run
from evalkit.scoring.unit import Unit, hash_images
from evalkit.scoring.writing import write_beside


def score_images(run: Run) -> pd.DataFrame:
    """Score every image that is ok (`tables.SCORES`); how many are not stands in attrs["skipped"].

    Raises StudyError where there is none.
    """
    folder, job = run.folder, run.job
    images = folder.read_images()
    ok = ok_images(run)
    prompts = prompt_texts(run, ok["prompt_id"])
    hashes = hash_images(folder, ok["file_name"], ok["sha256"])
    units = [
        Unit(
            label=str(folder.images / name),
            files=(folder.images / name,),
            hashes=(hashes[name],),
            prompt=prompts[prompt_id],
        )
        for name, prompt_id in zip(ok["file_name"], ok["prompt_id"], strict=True)
    ]
    answers = run.answer(units)
    given = pd.DataFrame([answers[unit.key] for unit in units])
    scores = ok[["image_id", "prompt_id", "model", "seed"]].assign(
        metric=job.metric,
        score=given["score"],
        weights=run.weights,
        truncated=given["truncated"].astype(bool),
    )
    if "cosine" in given:
        scores["cosine"] = given["cosine"]
    file = folder.scores / f"{job.metric}.csv"
    write_beside(scores, file, tables.SCORES, there=("image_id", set(ok["image_id"])))
    scores.attrs["skipped"] = len(images) - len(ok)
    return scores


def ok_images(run: Run) -> pd.DataFrame:
    """The images (`tables.IMAGES`) that are ok; StudyError where there is none."""
    images = run.folder.read_images()
    ok = images[images["status"] == "ok"].reset_index(drop=True)
    if ok.empty:
        raise StudyError(f"{run.folder.root}: no image is there to score; run: evalkit generate")
    return ok


def prompt_texts(run: Run, wanted: Iterable[str]) -> dict[str, str]:
    """The prompts of the study by prompt_id; StudyError where one that is wanted is missing."""
    table = run.folder.read_prompts()
    prompts = dict(zip(table["prompt_id"], table["prompt"], strict=True))
    missing = [prompt_id for prompt_id in dict.fromkeys(wanted) if prompt_id not in prompts]
    if missing:
        raise StudyError(
            f"{run.folder.prompts_file}: lacks {listed(missing[:5])} of images.csv; every image "
            f"needs its prompt; make both again with: evalkit generate {run.folder.root}"
        )
    return prompts
