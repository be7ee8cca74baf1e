"""The local engine: one model after another, in batches, in this process."""

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from evalkit.errors import ModelError
from evalkit.files import write_bytes
from evalkit.generation.record import Record, image_file, require_alike, write_record, write_run
from evalkit.models import ModelSpec
from evalkit.pipelines import Pipeline, Rendered, Request, load_pipeline
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
        own = plan[plan["model"] == spec.name]
        if own["made"].all():
            continue
        count.add(0, spec.name)
        try:
            _render_model(folder, spec, own, batch_size, device, count)
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
    study: StudyFolder,
    spec: ModelSpec,
    plan: pd.DataFrame,
    batch_size: int | None,
    device: str | None,
    count: _Count,
) -> None:
    folder, missing = study.images / spec.name, plan[~plan["made"]]
    size = batch_size or default_batch_size(spec)
    pipeline = load_pipeline(_with_paths(spec, study.root), device)
    try:
        if not plan["sha256"].any():  # else the files themselves must come out as they were
            require_alike(folder, plan.loc[plan["made"], "image_id"], pipeline.made_with)
        run = write_run(folder, {**pipeline.made_with, "batch_size": size})
        for start in range(0, len(missing), size):
            batch = missing.iloc[start : start + size]
            _render_batch(study.root, folder, spec, pipeline, batch, run, first_batch=start == 0)
            count.add(len(batch), spec.name)
    finally:
        pipeline.close()


def _with_paths(spec: ModelSpec, root: Path) -> ModelSpec:
    """With the paths of the repositories that are folders in the study folder, for loading."""
    keys = ("repository", "unet_repository", "lora_repository")
    given = {key: root / value for key in keys if (value := getattr(spec, key))}
    return spec.model_copy(update={k: str(path) for k, path in given.items() if path.is_dir()})


def _render_batch(
    root: Path,
    folder: Path,
    spec: ModelSpec,
    pipeline: Pipeline,
    batch: pd.DataFrame,
    run: str,
    first_batch: bool,
) -> None:
    requests = [
        Request(row.prompt_id, row.prompt, row.seed, root / row.input_image)
        if row.input_image
        else Request(row.prompt_id, row.prompt, row.seed)
        for row in batch.itertuples()
    ]
    started = time.perf_counter()
    results = pipeline.render(requests)
    seconds = (time.perf_counter() - started) / len(batch)
    for image_id, request, sha256, result in zip(
        batch["image_id"], requests, batch["sha256"], results, strict=True
    ):
        png = _png(result)
        found = hashlib.sha256(png).hexdigest() if png else ""
        if sha256 and found != sha256:
            raise ModelError(
                f"models.{spec.name}: image {image_id} comes out otherwise than the one that was "
                "voted on (another device, library or batch size makes another); nothing of it is "
                "replaced; put a copy of its file back, or go on without: the votes need it no more"
            )
        if png:
            write_bytes(image_file(folder, image_id), png)
        width, height = result.image.size if result.image else (spec.width, spec.height)
        record = Record(
            image_id=image_id,
            prompt=request.prompt,
            seed=request.seed,
            status=result.status,
            reason=result.reason,
            width=width,
            height=height,
            sha256=found,
            seconds=round(seconds, 6),
            first_batch=first_batch,
            run=run,
        )
        write_record(folder, record)


def _png(result: Rendered) -> bytes:
    """The image as a PNG file; nothing without an image."""
    if result.image is None:
        return b""
    png = io.BytesIO()
    result.image.save(png, "PNG")
    return png.getvalue()
