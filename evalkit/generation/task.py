"""What an engine is given and tells: the options of a run, a model's task, its new records."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pandas as pd

from evalkit.generation.made_with import require_alike
from evalkit.generation.record import Record
from evalkit.generation.worker import Wanted, wanted
from evalkit.models import ModelSpec
from evalkit.study_folder import StudyFolder


@dataclass(frozen=True)
class Options:
    """How a run is made: images per call, device, and of Ray how many workers on which cluster."""

    batch_size: int | None = None
    device: str | None = None
    workers: int | None = None
    address: str | None = None


@dataclass
class Task:
    """The images of one model that are missing, and the runs of those that are there."""

    folder: StudyFolder
    spec: ModelSpec
    missing: pd.DataFrame
    runs: set[str] = field(default_factory=set)

    def batches(self, size: int) -> Iterator[list[Wanted]]:
        """The missing images in batches of `size`, in order: the same ones for every engine."""
        rows = wanted(self.missing)
        while batch := list(islice(rows, size)):
            yield batch

    def require_alike(self, made_with: dict[str, Any]) -> None:
        """ModelError where a worker would make otherwise than images that are there were made."""
        place = self.folder.images / self.spec.name
        require_alike(place, self.runs, made_with)


Written = Callable[[list[Record]], None]  # told of images whose records lie
Render = Callable[[Task, Written], None]  # raises ModelError for the model, OSError for the disk
Engine = Callable[[StudyFolder, Options], AbstractContextManager[Render]]
