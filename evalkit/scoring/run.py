"""The step from a study's images to scores/<metric>.csv."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from PIL import Image

from evalkit import tables
from evalkit.errors import EvalkitError, StudyError
from evalkit.files import openable
from evalkit.lock import has_votes, require_unchanged
from evalkit.metrics.registry import ImageMetric, load_metric
from evalkit.study_folder import StudyFolder

Progress = Callable[[int, int, str], None]


def score(
    folder: StudyFolder,
    metric: str = "clip_score",
    weights: str | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score every image of the study that is ok, and write scores/<metric>.csv.

    Columns are those of `tables.SCORES`. Images that failed or were filtered have no row; how many
    they are stands in `attrs["skipped"]`. Rows of other weights already in the file stay there, as
    long as their images are still those of the study. `progress(done, total,
    label)` is called per batch.
    Raises StudyError before generation or without any image, ModelError where the metric cannot be
    loaded, EvalkitError, naming the image, on an unreadable image or a score that is not finite.
    """
    if folder.lock_file.is_file() and has_votes(folder):
        require_unchanged(folder)
    images = folder.read_images()
    ok = images[images["status"] == "ok"].reset_index(drop=True)
    if ok.empty:
        raise StudyError(f"{folder.root}: no image is there to score; run: evalkit generate")
    texts = folder.read_prompts().set_index("prompt_id")["prompt"]
    scorer = load_metric(metric, weights, folder.study)
    prompts = [texts[prompt_id] for prompt_id in ok["prompt_id"]]
    scores = ok[["image_id", "prompt_id", "model", "seed"]].assign(
        metric=metric,
        score=_score_all(folder, ok, prompts, scorer, progress),
        weights=scorer.weights,
        truncated=[scorer.is_truncated(prompt) for prompt in prompts],
    )
    _write(folder, metric, scores)
    scores.attrs["skipped"] = len(images) - len(ok)
    return scores


def _score_all(
    folder: StudyFolder,
    images: pd.DataFrame,
    prompts: list[str],
    scorer: ImageMetric,
    progress: Progress | None,
) -> list[float]:
    scores: list[float] = []
    for start in range(0, len(images), scorer.batch_size):
        rows = slice(start, start + scorer.batch_size)
        names = images["file_name"].iloc[rows].tolist()
        batch = scorer.score([scorer.prepare(_open(folder, name)) for name in names], prompts[rows])
        for name, value in zip(names, batch, strict=True):
            if not np.isfinite(value):
                raise EvalkitError(
                    f"{folder.images / name}: its score is {value}; a score is a finite number; "
                    "look at the image and the weights"
                )
        scores += batch
        if progress is not None:
            progress(len(scores), len(images), scorer.weights)
    return scores


def _open(folder: StudyFolder, name: str) -> Image.Image:
    path = folder.images / name
    try:
        with Image.open(openable(path)) as image:
            return image.convert("RGB")
    except OSError as error:
        raise StudyError(
            f"{path}: the image cannot be read ({error}); delete it and run: evalkit generate "
            f"{folder.root}"
        ) from None


def _write(folder: StudyFolder, metric: str, scores: pd.DataFrame) -> None:
    path = folder.scores / f"{metric}.csv"
    if path.is_file():
        before = tables.read(path, tables.SCORES)
        others = before["weights"].ne(scores["weights"].iloc[0])
        kept = before[others & before["image_id"].isin(scores["image_id"])]
        scores = pd.concat([kept, scores]) if len(kept) else scores
    tables.write(scores, path, tables.SCORES)
