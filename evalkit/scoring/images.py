"""Metrics of single images: a score per image -> scores/<metric>.csv."""

import pandas as pd

from evalkit import tables
from evalkit.content import image_contents
from evalkit.errors import StudyError
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
    prompts = folder.read_prompt_texts(ok["prompt_id"])
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
    contents = image_contents(ok.assign(sha256=ok["file_name"].map(hashes)), prompts)
    answers = run.answer(units)
    given = pd.DataFrame([answers[unit.key] for unit in units])
    scores = ok[["image_id", "prompt_id", "model", "seed"]].assign(
        metric=job.metric,
        score=given["score"],
        weights=run.weights,
        truncated=given["truncated"].astype(bool),
        content=list(contents.values()),
    )
    if "cosine" in given:
        scores["cosine"] = given["cosine"]
    write_beside(run, scores, folder.scores, tables.SCORES, ["image_id"], lambda before: contents)
    scores.attrs["skipped"] = len(images) - len(ok)
    return scores


def ok_images(run: Run) -> pd.DataFrame:
    """The images (`tables.IMAGES`) that are ok; StudyError where there is none."""
    images = run.folder.read_images()
    ok = images[images["status"] == "ok"].reset_index(drop=True)
    if ok.empty:
        raise StudyError(f"{run.folder.root}: no image is there to score; run: evalkit generate")
    return ok
