"""The local engine: one model after another, in batches, in this process."""

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from evalkit.errors import ModelError
from evalkit.files import write_bytes
from evalkit.generation.record import Record, image_file, write_record, write_run
from evalkit.models import ModelSpec
from evalkit.pipelines import Pipeline, Rendered, load_pipeline
from evalkit.study_folder import StudyFolder

Progress = Callable[[int, int, str], None]

_BATCH_IMAGES = 8
_BATCH_PIXELS = 2**21  # 8 images of 512x512, 2 of 1024x1024: fits SDXL in 16 bits into 24 GB


def default_batch_size(spec: ModelSpec) -> int:
    """Images per call, where the user does not say: 8, fewer of large images, at least 1."""
    return max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // (spec.width * spec.height)))


def render_missing(
    folder: StudyFolder,
    plan: pd.DataFrame,
    batch_size: int | None,
    device: str | None,
    progress: Progress,
) -> list[ModelError]:
    """Make every image that the plan lacks; gives the models' errors, one at most per model.

    A model that cannot be loaded or run does not stop the others. `progress` gets (images there,
    images of the plan, model) at the start, at each model's start and after each batch.
    """
    problems = []
    count = _Count(int(plan["made"].sum()), len(plan), progress)
    count.add(0, "")
    for spec in folder.study.models:
        missing = plan[(plan["model"] == spec.name) & ~plan["made"]]
        if missing.empty:
            continue
        count.add(0, spec.name)
        try:
            _render_model(folder.images / spec.name, spec, missing, batch_size, device, count)
        except ModelError as error:
            problems.append(error)
    return problems


class _Count:
    def __init__(self, done: int, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress = done, total, progress

    def add(self, n: int, model: str) -> None:
        self._done += n
        self._progress(self._done, self._total, model)


def _render_model(
    folder: Path,
    spec: ModelSpec,
    missing: pd.DataFrame,
    batch_size: int | None,
    device: str | None,
    count: _Count,
) -> None:
    size = batch_size or default_batch_size(spec)
    pipeline = load_pipeline(spec, device)
    try:
        run = write_run(folder, {**pipeline.made_with, "batch_size": size})
        for start in range(0, len(missing), size):
            batch = missing.iloc[start : start + size]
            _render_batch(folder, spec, pipeline, batch, run, first_batch=start == 0)
            count.add(len(batch), spec.name)
    finally:
        pipeline.close()


def _render_batch(
    folder: Path,
    spec: ModelSpec,
    pipeline: Pipeline,
    batch: pd.DataFrame,
    run: str,
    first_batch: bool,
) -> None:
    prompts, seeds = batch["prompt"].tolist(), batch["seed"].tolist()
    started = time.perf_counter()
    results = pipeline.render(prompts, seeds)
    seconds = (time.perf_counter() - started) / len(batch)
    for image_id, prompt, seed, result in zip(
        batch["image_id"], prompts, seeds, results, strict=True
    ):
        width, height = result.image.size if result.image else (spec.width, spec.height)
        record = Record(
            image_id=image_id,
            prompt=prompt,
            seed=seed,
            status=result.status,
            reason=result.reason,
            width=width,
            height=height,
            sha256=_write_image(image_file(folder, image_id), result),
            seconds=round(seconds, 6),
            first_batch=first_batch,
            run=run,
        )
        write_record(folder, record)


def _write_image(file: Path, result: Rendered) -> str:
    """Write the image as PNG and give the hash of the file; without an image, an empty text."""
    if result.image is None:
        return ""
    png = io.BytesIO()
    result.image.save(png, "PNG")
    write_bytes(file, png.getvalue())
    return hashlib.sha256(png.getvalue()).hexdigest()
