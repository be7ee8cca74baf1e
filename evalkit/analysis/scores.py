"""Mean metric score and median speed per model."""

import numpy as np
import pandas as pd
from scipy import stats

from evalkit.analysis.intervals import LEVEL


def mean_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns metric, weights, model, mean, ci_low, ci_high, n, n_prompts, method.

    The mean over a model's prompts of each prompt's mean, in the metric's own unit, with a t
    interval over those means (images of one prompt are not independent); NaN bounds with fewer than
    two prompts. `n` counts images. Empty in, empty out.
    """
    columns = [
        "metric",
        "weights",
        "model",
        "mean",
        "ci_low",
        "ci_high",
        "n",
        "n_prompts",
        "method",
    ]
    rows = []
    for (metric, weights, model), part in scores.groupby(["metric", "weights", "model"]):
        by_prompt = part.groupby("prompt_id")["score"].mean()
        half = np.nan
        if len(by_prompt) > 1:
            half = stats.t.ppf((1 + LEVEL) / 2, len(by_prompt) - 1) * stats.sem(by_prompt)
        mean = float(by_prompt.mean())
        rows.append(
            (
                metric,
                weights,
                model,
                mean,
                mean - half,
                mean + half,
                len(part),
                len(by_prompt),
                "mean of prompt means, t over prompts",
            )
        )
    return pd.DataFrame(rows, columns=columns)


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
