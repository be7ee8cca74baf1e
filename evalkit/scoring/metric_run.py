"""A run of one metric: what is known of its units is looked up, the rest computed and kept."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from evalkit import __version__
from evalkit.content import text_hash
from evalkit.errors import EvalkitError, ModelError
from evalkit.metrics import identify_metric, metric_card
from evalkit.scoring.kept import Columns, Kept
from evalkit.scoring.unit import Unit
from evalkit.scoring.worker import Done, Job
from evalkit.study_folder import StudyFolder

Progress = Callable[[int, int, str], None]
Compute = Callable[[Iterable[Unit]], Iterator[Done]]
Engine = Callable[["Run"], AbstractContextManager[Compute]]

_EMBEDDINGS = ("image", "text")
_LIBRARIES = ("pillow", "torch", "torchvision", "open_clip_torch", "transformers", "lpips")


class Run:
    """One metric on one study."""

    def __init__(
        self, folder: StudyFolder, job: Job, engine: Engine, progress: Progress | None
    ) -> None:
        self.folder, self.job = folder, job
        self._engine = engine
        self._progress = progress or (lambda done, total, label: None)

    @cached_property
    def metric(self) -> Any:
        """The metric, loaded in this process."""
        metric = self.job.load()
        if self._name not in (None, metric.weights):  # scores would be kept as of other weights
            raise ModelError(
                f"score: {self.job.metric} loaded the weights {metric.weights}, and named "
                f"{self._name} before; both are to be one name; mend identify and load of the "
                "metric, or leave files of weights as they are while they are loaded"
            )
        return metric

    @property
    def weights(self) -> str:
        """The name of the weights; where the metric can tell it, without loading them."""
        return self.metric.weights if self._name is None else self._name

    @cached_property
    def _name(self) -> str | None:
        return identify_metric(self.job.metric, self.job.weights, self.job.study)

    def kept(self, what: str) -> Kept:
        """What is kept of this metric with these weights: `what` is scores, images, texts, ..."""
        plain = re.sub(r"[^\w.@-]+", "-", self.weights)[:60]
        # Another evalkit may prepare otherwise or bring other built-in weights, another library
        # resize or compute otherwise.
        own = metric_card(self.job.metric).version
        made_by = "\n".join([self.weights, __version__, str(own), *_library_versions()])
        checkpoint = text_hash(made_by)[:8]
        return Kept(self.folder.cache / self.job.metric / f"{plain}-{checkpoint}" / what)

    def answer(self, units: Sequence[Unit], what: str = "scores") -> dict[str, Columns]:
        """What the metric gave for each unit, by its key; computed only where it is not known."""
        kept = self.kept(what)
        times = Counter(unit.key for unit in units)
        answers = {key: row for key in times if (row := kept.row(key)) is not None}
        missing = {unit.key: unit for unit in units if unit.key not in answers}
        done = sum(times[key] for key in answers)
        if answers:
            self._progress(done, len(units), self.weights)
        for batch, columns in self._compute(list(missing.values())):
            _require_finite(batch, columns)
            self._keep_embeddings(batch, columns)
            keys = [unit.key for unit in batch]
            own = {name: column for name, column in columns.items() if name not in _EMBEDDINGS}
            kept.add(keys, own)
            answers |= {
                key: {name: column[place] for name, column in own.items()}
                for place, key in enumerate(keys)
            }
            done += sum(times[key] for key in keys)
            self._progress(done, len(units), self.weights)
        return answers

    def _compute(self, units: list[Unit]) -> Iterator[Done]:
        if not units:
            return
        with self._engine(self) as compute:
            yield from compute(self._with_embeddings(units))

    @cached_property
    def _embeddings(self) -> tuple[Kept, Kept]:
        return self.kept("images"), self.kept("texts")

    def _with_embeddings(self, units: list[Unit]) -> Iterator[Unit]:
        """The units with the embeddings that are known; other kinds than image keep none."""
        if self.job.kind != "image":
            yield from units
            return
        images, texts = self._embeddings
        for unit in units:
            image, text = images.row(unit.hashes[0]), texts.row(text_hash(unit.prompt))
            yield replace(
                unit,
                image=None if image is None else image["embedding"],
                text=None if text is None else text["embedding"],
            )

    def _keep_embeddings(self, batch: list[Unit], columns: Columns) -> None:
        if "image" not in columns:
            return
        hashes = ([unit.hashes[0] for unit in batch], [text_hash(unit.prompt) for unit in batch])
        for kept, keys, name in zip(self._embeddings, hashes, _EMBEDDINGS, strict=True):
            new = {key: place for place, key in enumerate(keys) if key not in kept}
            if new:
                kept.add(list(new), {"embedding": columns[name][list(new.values())]})


@cache
def _library_versions() -> tuple[str, ...]:
    """Name, major and minor version of the libraries that make pixels and numbers."""
    found = []
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {'.'.join(version(name).split('.')[:2])}")
    return tuple(found)


def _require_finite(batch: list[Unit], columns: Columns) -> None:
    """EvalkitError that names the first unit with a number that is not finite."""
    for column in columns.values():
        whole = np.isfinite(column.reshape(len(batch), -1)).all(axis=1)
        for unit in (batch[place] for place in np.flatnonzero(~whole)[:1]):
            found = column[np.flatnonzero(~whole)[0]]
            said = f"its score is {found}" if np.ndim(found) == 0 else "its numbers are not finite"
            raise EvalkitError(
                f"{unit.label}: {said}; a score is a finite number; look at the image and the "
                "weights"
            )
