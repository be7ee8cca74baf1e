"""What is left to do: a task for each model of the plan that lacks images."""

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from evalkit.generation.batches import wanted
from evalkit.generation.record import Record
from evalkit.generation.task import Task
from evalkit.generation.worker import request
from evalkit.pipelines import Request, check, refuse_replaced
from evalkit.study_folder import StudyFolder


def find_tasks(
    folder: StudyFolder, plan: pd.DataFrame, records: dict[str, Record]
) -> Iterator[Task]:
    """A task for each model that lacks images, in order of the plan (see `plan_images`).

    Raises ModelError for what can be known before a model runs (see `pipelines.check`), and where
    an image was imported from a file that has been replaced since.
    """
    for spec in folder.study.models:
        own = plan[plan["model"] == spec.name]
        located = spec.located(folder.root)
        fixed = own["sha256"].any()
        if not fixed:
            refuse_replaced(located, _imported(folder, own, records))
        missing = own[~own["made"]]
        if missing.empty:
            continue
        check(located, [request(folder, image) for image in wanted(missing)])
        there = own if fixed else own[own["made"]]
        found = [records[image_id] for image_id in there["image_id"] if image_id in records]
        yield Task(folder, spec, own, Counter(record.run for record in found))


def _imported(
    folder: StudyFolder, own: pd.DataFrame, records: dict[str, Record]
) -> Iterator[tuple[Request, str]]:
    """What was imported, and the hash of the file then."""
    for image in wanted(own):
        record = records.get(image.image_id)
        if record is not None and record.status == "ok" and record.source_sha256:
            yield request(folder, image), record.source_sha256
