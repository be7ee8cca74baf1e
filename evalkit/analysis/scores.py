"""Mean metric score and median speed per model."""

from math import isfinite

import numpy as np
import pandas as pd
from scipy import stats

from evalkit import tables
from evalkit.analysis.intervals import LEVEL

MEAN_METHOD = "mean of prompt means, t over prompts"
NO_INTERVAL = "no interval: one prompt, or no variation between prompts"


def mean_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns metric, weights, model, mean, ci_low, ci_high, n, n_prompts, method.

    The mean over a model's prompts of each prompt's mean, in the metric's own unit, with a t
    interval over those means (images of one prompt are not independent); NaN bounds with fewer than
    two prompts or where all prompts score the same. `n` counts images. Empty in, empty out.
    """
    rows = []
    for (metric, weights, model), part in scores.groupby(["metric", "weights", "model"]):
        by_prompt = part.groupby("prompt_id")["score"].mean()
        mean, half = float(by_prompt.mean()), _half_width(by_prompt)
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


def _half_width(values: pd.Series) -> float:
    """Half the t interval of the mean of the values; NaN where they show no variation."""
    if len(values) < 2 or values.nunique() == 1:
        return float("nan")
    return float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values))


def median_speeds(images: pd.DataFrame) -> pd.DataFrame:
    """Columns model, seconds_median, seconds_low, seconds_high, n: quartiles over a model's images.

    Seconds per image as measured during generation, a batch's time over its images; images without
    a time (those of a first batch, which warms up, and failed ones) do not count.
    """
    timed = images[(images["status"] == "ok") & images["seconds"].notna()]
    rows = [
        (model, *np.quantile(part["seconds"].astype(float), [0.5, 0.25, 0.75]), len(part))
        for model, part in timed.groupby("model", sort=True)
    ]
    return pd.DataFrame(
        rows, columns=["model", "seconds_median", "seconds_low", "seconds_high", "n"]
    )
