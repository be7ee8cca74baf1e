"""Mean metric score and speed per model."""

from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.intervals import LEVEL
from evalkit.analysis.student import t_quantile

MEAN_METHOD = "mean of prompt means, t over prompts"
NO_INTERVAL = "no interval: one prompt, or no variation between prompts"
_SECONDS = ("seconds_median", "seconds_low", "seconds_high")


def mean_scores(scores: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Columns metric, weights, model, mean, ci_low, ci_high, n, n_prompts, method.

    The mean over a model's prompts of each prompt's mean, in the metric's own unit, with a t
    interval at `level` over those means (images of one prompt are not independent); NaN bounds with
    fewer than two prompts or where all prompts score the same. A t interval may leave the metric's
    range. `n` counts images. Empty in, empty out.
    """
    rows = []
    for (metric, weights, model), part in scores.groupby(["metric", "weights", "model"]):
        by_prompt = part.groupby("prompt_id")["score"].mean()
        mean, half = float(by_prompt.mean()), _half_width(by_prompt, level)
        rows.append(
            {
                "metric": metric,
                "weights": weights,
                "model": model,
                "mean": mean,
                "ci_low": mean - half,
                "ci_high": mean + half,
                "n": len(part),
                "n_prompts": len(by_prompt),
                "method": MEAN_METHOD if isfinite(half) else f"{MEAN_METHOD}; {NO_INTERVAL}",
            }
        )
    frame = pd.DataFrame(rows) if rows else tables.MEAN_SCORES.empty()
    return tables.check(frame, tables.MEAN_SCORES, "mean scores")


def _half_width(values: pd.Series, level: float) -> float:
    """Half the t interval of the mean of the values; NaN where they show no variation."""
    error = float(values.sem())
    if len(values) < 2 or not error > 1e-12 * values.abs().max():  # zero but for rounding
        return float("nan")
    return t_quantile(level, len(values) - 1) * error


def median_speeds(images: pd.DataFrame) -> pd.DataFrame:
    """Columns model, seconds_median, seconds_low, seconds_high, n, source; quartiles over images.

    Seconds per image as measured during generation, a batch's time over its images; images without
    a time (those of a first batch, which warms up, and failed ones) do not count.
    """
    timed = images[(images["status"] == "ok") & images["seconds"].notna()]
    rows = [
        (model, *np.quantile(part["seconds"].astype(float), [0.5, 0.25, 0.75]), len(part))
        for model, part in timed.groupby("model", sort=True)
    ]
    columns = ["model", *_SECONDS, "n"]
    return pd.DataFrame(rows, columns=columns).assign(source="generation")


def bench_speeds(bench: dict[str, Any]) -> pd.DataFrame:
    """The columns of `tables.SPEED` from the content of a bench.json; `n` counts timed calls.

    The seconds of a whole call for one image, from prompt to pixels: median and quartiles. A model
    without such a call (another batch size only, or out of memory) has no row. `compiled` says
    whether the model was.
    """
    source = "bench with random weights" if bench["random_weights"] else "bench"
    rows = [
        {
            "model": model["model"],
            **{key: batch["whole"][key] for key in (*_SECONDS, "n")},
            "source": source,
            "batch_size": 1,
            "device_name": bench["hardware"]["device_name"],
            "compiled": is_compiled(model),
        }
        for model in bench["models"]
        for batch in model["batches"]
        if batch["batch_size"] == 1 and "whole" in batch
    ]
    return pd.DataFrame(rows, columns=tables.SPEED.names[:-1])


def is_compiled(model: dict[str, Any]) -> bool:
    """Whether a model of a bench.json was timed compiled; its `settings` do not say."""
    return bool(model["made_with"].get("compiled"))  # the parts; a kind without the choice: absent
