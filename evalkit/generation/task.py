"""What an engine is given and tells: the options of a run, a model's task, its new records."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from evalkit.generation.batches import Wanted, batches, keeps_company, wanted
from evalkit.generation.made_with import read_run, require_alike
from evalkit.generation.record import Record
from evalkit.models import ModelSpec
from evalkit.study_folder import StudyFolder


def _nothing(line: str) -> None:
    return None


@dataclass(frozen=True)
class Options:
    """How a run is made: images per call, device, and of Ray how many workers on which cluster.

    `say` gets a line where the engine has to wait for others.
    """

    batch_size: int | None = None
    device: str | None = None
    workers: int | None = None
    address: str | None = None
    say: Callable[[str], None] = _nothing


@dataclass
class Task:
    """One model's rows of the plan (see `plan_images`) of which some images are missing.

    `runs`: how many of its images that are there (or were, once there are votes) each run made.
    """

    folder: StudyFolder
    spec: ModelSpec
    plan: pd.DataFrame
    runs: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> pd.DataFrame:
        """The rows whose images are to be made."""
        return self.plan[~self.plan["made"]]

    def batch_size(self) -> int | None:
        """Images per call that most of the images that are there were made with.

        So that a resumed run makes the same batches again. None where nothing is there, and of
        models whose images do not depend on it (see `batches`).
        """
        sizes: Counter[int] = Counter()
        for run, n in self.runs.items() if keeps_company(self.spec) else ():
            size = read_run(self.folder.images / self.spec.name, run).get("batch_size")
            if isinstance(size, int) and size > 0:
                sizes[size] += n
        return max(sizes, key=lambda size: (sizes[size], size)) if sizes else None

    def batches(self, size: int) -> Iterator[list[Wanted]]:
        """The batches that lack images (see `batches`), in order: the same for every engine."""
        return batches(self.spec, wanted(self.plan), size)

    def require_alike(self, made_with: dict[str, Any]) -> None:
        """ModelError where a worker would make otherwise than images that are there were made.

        Once there are votes, the files themselves must come out as they were.
        """
        if not self.plan["sha256"].any():
            require_alike(self.folder.images / self.spec.name, self.runs, made_with)


Written = Callable[[list[Record]], None]  # told of images whose records lie
Render = Callable[[Task, Written], None]  # raises ModelError for the model, OSError for the disk
Engine = Callable[[StudyFolder, Options], AbstractContextManager[Render]]
