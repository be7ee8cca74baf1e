"""generate: draw the prompts, make what is missing, write the tables."""

import pandas as pd

from evalkit import tables
from evalkit.errors import ModelError
from evalkit.generation.disk import usable
from evalkit.generation.local import Progress, render_missing
from evalkit.generation.manifest import write_tables
from evalkit.generation.plan import draw, plan_images
from evalkit.generation.record import read_record, record_file
from evalkit.lock import has_votes, is_unchanged, require_same_plan
from evalkit.pipelines import require_device
from evalkit.study_folder import StudyFolder


def generate(
    folder: StudyFolder,
    *,
    batch_size: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Make the images of the study that are not there yet; gives all of them (`tables.IMAGES`).

    Writes prompts.csv, a PNG and a record per image, images.csv and manifest.json, each file whole
    or not at all: a run that was stopped goes on where it stood. `batch_size` is images per call
    (without it, `local.default_batch_size`), `device` as in `load_pipeline`. `progress` gets
    (images there, images of the study, model). An image that a model could not make has the status
    `failed`.

    Once there are votes, the tables stay (or are written again) as they were locked, and a damaged
    image is made again only where it comes out as it was.

    Raises ModelError after the last model, naming each that could not be loaded or run; the images
    of the others are made and listed then. Raises StudyError where the disk refuses, and where the
    study has changed since it was locked and there are votes.
    """
    if device is not None:
        require_device(device)
    prompts = draw(folder)
    with usable(folder):
        fixed = has_votes(folder)
        if fixed:
            _restore_tables(folder, prompts)
        plan = plan_images(folder, prompts)
        if not fixed:
            tables.write(prompts, folder.prompts_file, tables.PROMPTS)
            _forget_damaged(folder, plan)
            # So that a stopped run leaves tables without images of other settings.
            write_tables(folder, plan)
        try:
            problems = render_missing(
                folder, plan, batch_size, device, progress or (lambda done, total, model: None)
            )
        finally:
            images = folder.read_images() if fixed else write_tables(folder, plan)
    if problems:
        raise ModelError("; ".join(dict.fromkeys(str(problem) for problem in problems)))
    return images


def _restore_tables(folder: StudyFolder, prompts: pd.DataFrame) -> None:
    """Write prompts.csv and images.csv again where they are not as they were locked."""
    require_same_plan(folder, prompts)
    if not is_unchanged(folder):
        tables.write(prompts, folder.prompts_file, tables.PROMPTS)
    if not is_unchanged(folder):
        write_tables(folder, folder.study.wanted_images(prompts))


def _forget_damaged(folder: StudyFolder, plan: pd.DataFrame) -> None:
    """Take away the records of images that are to be remade but are recorded as being there."""
    missing = plan[~plan["made"]]
    for image_id, model in zip(missing["image_id"], missing["model"], strict=True):
        record = read_record(folder.images / model, image_id)
        if record is not None and record.status == "ok":
            record_file(folder.images / model, image_id).unlink()
