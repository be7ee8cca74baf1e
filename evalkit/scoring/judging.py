"""A loaded metric is asked about a batch of units: one function per kind, columns of n rows out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from evalkit.errors import ModelError
from evalkit.metrics.registry import (
    DualEncoder,
    ImageMetric,
    PairJudge,
    SetMetric,
    SpreadMetric,
)
from evalkit.scoring.kept import Columns
from evalkit.scoring.unit import Unit

Prepared = Sequence[Sequence[Any]]  # of each unit, its images as the metric takes them
Judge = Callable[[Sequence[Unit], Prepared], Columns]


def judge_of(kind: str, metric: Any) -> Judge:
    """How a metric of this kind is asked."""
    if kind == "image":
        return _embed_images(metric) if isinstance(metric, DualEncoder) else _score_images(metric)
    asks: dict[str, Callable[[Any], Judge]] = {
        "pair": _ask_pairs,
        "set": _read_features,
        "spread": _measure_spreads,
    }
    return asks[kind](metric)


def _score_images(metric: ImageMetric) -> Judge:
    """Columns score, truncated."""
    cut: dict[str, bool] = {}

    def judge(units: Sequence[Unit], prepared: Prepared) -> Columns:
        prompts = [unit.prompt for unit in units]
        scores = metric.score([image for (image,) in prepared], prompts)
        return {"score": _column(scores, units, metric), "truncated": _cut(metric, prompts, cut)}

    return judge


def _embed_images(metric: DualEncoder) -> Judge:
    """Columns score, cosine, truncated, image, text; embeddings that are known are not computed."""
    cut: dict[str, bool] = {}
    encoded: dict[str, np.ndarray] = {}

    def judge(units: Sequence[Unit], prepared: Prepared) -> Columns:
        prompts = [unit.prompt for unit in units]
        encoded.update((unit.prompt, unit.text) for unit in units if unit.text is not None)
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in encoded]
        if new:
            encoded.update(zip(new, _table(metric.encode_texts(new), new, metric), strict=True))
        texts = np.stack([encoded[prompt] for prompt in prompts])
        images = _image_embeddings(metric, units, prepared)
        return {
            "score": _column(metric.compare(images, texts), units, metric),
            "cosine": (images.astype(np.float64) * texts).sum(axis=1),
            "truncated": _cut(metric, prompts, cut),
            "image": images,
            "text": texts,
        }

    return judge


def _image_embeddings(metric: DualEncoder, units: Sequence[Unit], prepared: Prepared) -> np.ndarray:
    new = [images[0] for images in prepared if images]
    made = iter(_table(metric.encode_images(new), new, metric) if new else ())
    return np.stack([next(made) if unit.image is None else unit.image for unit in units])


def _ask_pairs(judge_: PairJudge) -> Judge:
    """Columns a_when_first, a_when_second, score: the probability that the first image is better.

    Asked twice, since a judge may prefer a place.
    """

    def judge(units: Sequence[Unit], prepared: Prepared) -> Columns:
        a, b = (list(images) for images in zip(*prepared, strict=True))
        columns = np.empty((2, len(units)))
        for question in dict.fromkeys(unit.question for unit in units):
            asked = [place for place, unit in enumerate(units) if unit.question == question]
            prompts = [units[place].prompt for place in asked]
            for order, (left, right) in enumerate([(a, b), (b, a)]):
                given = judge_.prefers_first(
                    [left[place] for place in asked],
                    [right[place] for place in asked],
                    prompts,
                    question,
                )
                columns[order, asked] = _column(given, asked, judge_)
        first, second = columns[0], 1 - columns[1]
        with np.errstate(invalid="ignore"):  # infinite ones are refused by name later
            return {"a_when_first": first, "a_when_second": second, "score": (first + second) / 2}

    return judge


def _read_features(metric: SetMetric) -> Judge:
    """Column features, a row of d numbers each."""

    def judge(units: Sequence[Unit], prepared: Prepared) -> Columns:
        return {"features": _table(metric.features([one for (one,) in prepared]), units, metric)}

    return judge


def _measure_spreads(metric: SpreadMetric) -> Judge:
    """Column score."""

    def judge(units: Sequence[Unit], prepared: Prepared) -> Columns:
        return {"score": _column([metric.spread(images) for images in prepared], units, metric)}

    return judge


def _cut(metric: ImageMetric, prompts: Sequence[str], known: dict[str, bool]) -> np.ndarray:
    for prompt in dict.fromkeys(prompts):
        if prompt not in known:
            known[prompt] = bool(metric.is_truncated(prompt))
    return np.array([known[prompt] for prompt in prompts])


def _column(values: Any, rows: Sequence[Any], metric: Any) -> np.ndarray:
    """One number per row, in float64; ModelError where there are more or fewer."""
    return _shaped(np.asarray(values, dtype=np.float64), rows, 1, metric)


def _table(values: Any, rows: Sequence[Any], metric: Any) -> np.ndarray:
    """A row of numbers per row, in float32; ModelError where there are more or fewer."""
    return _shaped(np.asarray(values, dtype=np.float32), rows, 2, metric)


def _shaped(values: np.ndarray, rows: Sequence[Any], axes: int, metric: Any) -> np.ndarray:
    if values.ndim != axes or len(values) != len(rows):
        raise ModelError(
            f"score: {metric.weights} gave numbers of the shape {values.shape} for {len(rows)} "
            "inputs; allowed is one result for each; look at the weights"
        )
    return values
