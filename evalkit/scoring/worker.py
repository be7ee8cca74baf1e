"""A worker: a loaded metric, whose images are read and prepared in threads while it computes."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from evalkit.errors import StudyError
from evalkit.files import read_bytes
from evalkit.metrics import load_metric, metric_card
from evalkit.pixels import decoded_bytes
from evalkit.scoring.ahead import map_ahead
from evalkit.scoring.judging import judge_of
from evalkit.scoring.kept import Columns
from evalkit.scoring.unit import Unit, unreadable
from evalkit.study import Study

_THREADS = min(16, os.cpu_count() or 1)
_AHEAD = 2  # batches of images that are prepared or wait while one is computed

Done = tuple[list[Unit], Columns]


@dataclass(frozen=True)
class Job:
    """Which metric, with which weights, on which device; what a worker needs to load it."""

    metric: str
    weights: str | None
    study: Study
    device: str | None = None
    batch_size: int | None = None

    @property
    def kind(self) -> str:
        """The kind of the metric."""
        return metric_card(self.metric).kind

    def load(self) -> Any:
        """The metric; ModelError where it cannot be had."""
        return load_metric(self.metric, self.weights, self.study, self.device)


class Worker:
    """The metric of a job at work."""

    def __init__(self, job: Job, metric: Any) -> None:
        self._metric, self._kind = metric, job.kind
        if job.batch_size is not None:
            metric.batch_size = job.batch_size
        self._judge = judge_of(job.kind, metric)
        self._size = metric.batch_size

    def compute(self, units: Iterable[Unit]) -> Iterator[Done]:
        """The columns of each batch, in order, as soon as they are there.

        Raises StudyError on an image that cannot be read or is not the one that was named, and
        ModelError on pixels that `evalkit.pixels` refuses.
        """
        batch: list[tuple[Unit, list[Any]]] = []
        images = _AHEAD * self._size
        for one in map_ahead(
            self._prepare, units, _THREADS, images, weigh=lambda unit: len(unit.files)
        ):
            batch.append(one)
            if len(batch) >= self._most(one[0]):
                yield self._answer(batch)
                batch = []
        if batch:
            yield self._answer(batch)

    def _most(self, unit: Unit) -> int:
        """Units of a batch: a batch size of pairs counts pairs, else images."""
        return self._size if self._kind == "pair" else max(1, self._size // len(unit.files))

    def _answer(self, batch: list[tuple[Unit, list[Any]]]) -> Done:
        units, prepared = (list(column) for column in zip(*batch, strict=True))
        return units, self._judge(units, prepared)

    def _prepare(self, unit: Unit) -> list[Any]:
        """The images as the metric takes them; none where their embedding is known."""
        if unit.image is not None:
            return []
        return [
            self._metric.prepare(_open(file, sha256))
            for file, sha256 in zip(unit.files, unit.hashes, strict=True)
        ]


def _open(file: Path, sha256: str) -> Image.Image:
    """The image of these bytes, upright, RGB, of its original pixels (see `evalkit.pixels`)."""
    try:
        data = read_bytes(file)
    except OSError as error:
        raise unreadable(file, error) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StudyError(
            f"{file}: is not the image that was listed (another sha256), or changes while it is "
            "scored; let it be finished, and score again"
        )
    return decoded_bytes(data, str(file))
