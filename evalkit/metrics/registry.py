"""What a metric is, and how it is found: one file per metric, by the file's own name.

A metric is a module of this package with a `CARD` and a function `load(weights, study)`; its file
name is the metric's name, the `--metric` of the command and the name of its table. `CARD.kind` says
what `load` gives and what is judged:

image  an `ImageMetric`, or a `DualEncoder`: a score per image -> scores/<metric>.csv
pair   a `PairJudge`: which of two images of a prompt -> judgements/<metric>.csv
set    a `SetMetric`: all images of a model against a reference folder -> sets/<metric>.csv
spread a `SpreadMetric`: how different a prompt's images are across seeds -> spreads/<metric>.csv

Two more things a module may offer. `load` may take `device`, such as `cpu` or `cuda:1` (None: the
first CUDA device where there is one); without it, `--device` is refused. `identify(weights, study)`
gives the name that the loaded metric would have in `weights`, and is quick: with it, a study whose
scores are all known is scored without loading the metric.
"""

import inspect
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from evalkit.errors import ModelError, listed, nearest
from evalkit.study import Study

NOT_METRICS = ("registry",)
KINDS = ("image", "pair", "set", "spread")


@dataclass(frozen=True)
class Card:
    """What must be known before a metric's numbers are read.

    `weights` are those used where none are named, `range` the values that a score can have, in
    words; `source` a paper or an address; `extra` the extra of evalkit that installs what it needs.
    `version` grows whenever the metric's own code gives other numbers: what is kept is then
    computed again.
    """

    kind: Literal["image", "pair", "set", "spread"]
    weights: str
    licence: str
    range: str
    source: str
    higher_is_better: bool = True
    extra: str = "metrics"
    version: int = 1


class ImageMetric(Protocol):
    """A metric of single images with its weights loaded."""

    weights: str  # names the weights in the table of scores, with a hash where they are a file
    batch_size: int  # how many images a call may hold

    def prepare(self, image: Image.Image) -> Any:
        """One image, RGB and of its original pixels, as the model takes it; runs in a thread."""

    def score(self, prepared: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        """One score per prepared image, against the prompt at the same place."""

    def is_truncated(self, prompt: str) -> bool:
        """Whether the metric reads only the beginning of this prompt."""


@runtime_checkable
class DualEncoder(ImageMetric, Protocol):
    """An `ImageMetric` that compares an image's embedding with a text's; embeddings are kept."""

    def encode_images(self, prepared: Sequence[Any]) -> np.ndarray:
        """Embeddings of length 1 (n x d, float32)."""

    def encode_texts(self, prompts: Sequence[str]) -> np.ndarray:
        """Embeddings of length 1 (n x d, float32)."""

    def compare(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores (n) of image embeddings (n x d) with the text embeddings at the same place."""


class PairJudge(Protocol):
    """A judge that is shown two images at once, and so may prefer a place."""

    weights: str
    batch_size: int  # how many pairs a call may hold

    def prepare(self, image: Image.Image) -> Any:
        """One image, RGB and of its original pixels, as the model takes it; runs in a thread."""

    def prefers_first(
        self, first: Sequence[Any], second: Sequence[Any], prompts: Sequence[str], question: str
    ) -> list[float]:
        """Per pair, the probability (0 to 1) that the image shown first is called better.

        `question` is the question's text as annotators read it; a prompt is empty where the
        question does not show it (`show_prompt`), to the judge as little as to annotators.
        """


class SetMetric(Protocol):
    """A distance of two sets of images.

    It may have `method`, a text: how distance and interval are made. Without it the source of its
    card stands in the table.
    """

    weights: str
    batch_size: int

    def prepare(self, image: Image.Image) -> Any:
        """One image, RGB and of its original pixels, as the model takes it; runs in a thread."""

    def features(self, prepared: Sequence[Any]) -> np.ndarray:
        """One row of features per image (n x d, float32)."""

    def distance(self, images: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
        """The distance of two tables of features and its 95% interval (NaN bounds for none).

        ModelError where there are fewer images than it needs.
        """


class SpreadMetric(Protocol):
    """How different images of one prompt are.

    It is given all images of a prompt and model at once, and batches them by itself; `--batch-size`
    sets its `batch_size`.
    """

    weights: str
    batch_size: int

    def prepare(self, image: Image.Image) -> Any:
        """One image, RGB and of its original pixels, as the model takes it; runs in a thread."""

    def spread(self, prepared: Sequence[Any]) -> float:
        """The mean difference over all pairs of these images, two or more."""


def metric_names(kind: str | None = None) -> list[str]:
    """Names of the metrics, of one kind where given, in alphabetical order."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    found = sorted(one.name for one in modules if not one.ispkg and one.name not in NOT_METRICS)
    return found if kind is None else [name for name in found if metric_card(name).kind == kind]


def metric_card(metric: str) -> Card:
    """What a metric says of itself; ModelError on one that is unknown."""
    return _module(metric).CARD


def identify_metric(metric: str, weights: str | None, study: Study) -> str | None:
    """The `weights` that the loaded metric would have; None where only loading tells."""
    module = _module(metric)
    return module.identify(weights, study) if hasattr(module, "identify") else None


def load_metric(metric: str, weights: str | None, study: Study, device: str | None = None) -> Any:
    """The metric with its weights, or with its default weights for this study where None.

    Raises ModelError on an unknown metric, unknown weights, a missing package, or a device that is
    named to a metric which takes none.
    """
    load = _module(metric).load
    if device is None:
        return load(weights, study)
    if "device" not in inspect.signature(load).parameters:
        raise ModelError(
            f"score: {metric} cannot be told its device ({device}); it takes the first CUDA device "
            "where there is one, else the processor; leave --device out"
        )
    return load(weights, study, device=device)


def _module(metric: str) -> Any:
    names = metric_names()
    if metric not in names:
        raise ModelError(
            f'score: unknown metric "{metric}"; allowed are {listed(names)}{nearest(metric, names)}'
        )
    return import_module(f"evalkit.metrics.{metric}")
