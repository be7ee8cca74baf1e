"""What a metric is, and how it is found: one file per metric, by the file's own name.

A metric is a module of this package with a function `load(weights, study) -> Scorer`; its file name
is the metric's name, the `--metric` of the command and the name of its table in `scores/`.
"""

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

from PIL import Image

from evalkit.errors import ModelError, listed, nearest
from evalkit.study import Study

NOT_METRICS = ("registry", "run")


class Scorer(Protocol):
    """A metric with its weights loaded."""

    weights: str  # names the weights in the table of scores
    batch_size: int  # how many images a call may hold

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        """One score per image, against the prompt at the same place."""

    def is_truncated(self, prompt: str) -> bool:
        """Whether the metric reads only the beginning of this prompt."""


def metric_names() -> list[str]:
    """Names of the metrics, in alphabetical order."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in modules if module.name not in NOT_METRICS)


def load_metric(metric: str, weights: str | None, study: Study) -> Scorer:
    """The metric with its weights, or with its default weights for this study where None.

    Raises ModelError on an unknown metric, unknown weights or a missing package.
    """
    names = metric_names()
    if metric not in names:
        raise ModelError(
            f'score: unknown metric "{metric}"; allowed are {listed(names)}{nearest(metric, names)}'
        )
    return import_module(f"evalkit.metrics.{metric}").load(weights, study)
