"""score: one metric of any kind on a study, from its images to its table."""

import pandas as pd

from evalkit.errors import EvalkitError
from evalkit.lock import has_votes, require_unchanged
from evalkit.scoring.engines import load_engine, require_engine
from evalkit.scoring.images import score_images
from evalkit.scoring.metric_run import Progress, Run
from evalkit.scoring.pairs import judge_pairs
from evalkit.scoring.sets import score_sets
from evalkit.scoring.spreads import score_spreads
from evalkit.scoring.worker import Job
from evalkit.study_folder import StudyFolder


def score(
    folder: StudyFolder,
    metric: str = "clip_score",
    weights: str | None = None,
    progress: Progress | None = None,
    *,
    engine: str = "local",
    workers: int | None = None,
    reference: str | None = None,
    device: str | None = None,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """Ask a metric about the study's images that are ok, and write its table.

    The table is that of the metric's kind: scores/ (`tables.SCORES`), judgements/
    (`tables.JUDGEMENTS`), sets/ (`tables.SET_SCORES`) or spreads/ (`tables.SPREADS`). Rows of other
    weights already in the file stay there, as long as they are about images of the study. What the
    metric gave is kept in cache/ by content, so that a second run computes only what is new.

    `engine` is `local` (this process) or `ray` (with `workers`). `reference` is a folder of images,
    or `model:NAME`, for the kind set. `batch_size` is images (or pairs) per call, `device` such as
    `cpu` or `cuda:1`. `progress(done, total, weights)` is called per batch.

    Raises StudyError before generation or without any image, ModelError where the metric cannot be
    loaded, EvalkitError, naming the image, on an unreadable image or a score that is not finite.
    """
    if folder.lock_file.is_file() and has_votes(folder):
        require_unchanged(folder)
    job = Job(metric, weights, folder.study, device, batch_size)
    if reference is not None and job.kind != "set":
        raise EvalkitError(
            f"score: --reference is for metrics of sets, and {metric} is one of the kind "
            f"{job.kind}; leave it out"
        )
    require_engine(engine, workers, device)
    run = Run(folder, job, load_engine(engine, workers), progress)
    if job.kind == "set":
        return score_sets(run, reference)
    kinds = {"image": score_images, "pair": judge_pairs, "spread": score_spreads}
    return kinds[job.kind](run)
