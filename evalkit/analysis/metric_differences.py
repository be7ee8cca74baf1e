"""Differences of two models' scores on the same prompts and seeds; no votes are needed."""

from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.result import LEVEL, require_level
from evalkit.analysis.significance import sign_test_of
from evalkit.analysis.student import t_quantile, t_tail
from evalkit.analysis.win_rates import corrected

METHOD = "mean over prompts of the mean difference on the same prompt and seed, t over prompts"
LOWER = "less is better"


def metric_differences(margins: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """A row per metric, weights and pair of models (`tables.METRIC_DIFFERENCES`).

    `mean_difference` is score_a - score_b in the metric's own unit (of a judge: the chance that a
    is preferred less that of b), averaged over the seeds of a prompt and then over prompts, with a
    t interval over prompts at `level`; `p_value` tests 0 and agrees with it. `p_holm` is Holm's
    over the pairs of one metric and weights (and question, where it judges each apart); `p_sign` is
    the exact sign test over the prompts. `n` counts pairs of images. Scores of images that stand in
    no pair do not count: raw means of other prompts are never compared.

    No interval and no p-value, with the reason, with one prompt or where all prompts differ alike.
    Where less is better, `method` says so. Empty in, empty out. `margins` are `margins.margins`.
    """
    require_level(level)
    margins = tables.check(margins, tables.MARGINS, "margins")
    rows = []
    for names, judged in margins.groupby(["question_id", "metric", "weights"], sort=True):
        family = [
            {
                **dict(zip(("question_id", "metric", "weights"), names, strict=True)),
                **dict(zip(("model_a", "model_b"), models, strict=True)),
                **_difference(part, level),
            }
            for models, part in judged.groupby(["model_a", "model_b"], sort=True)
        ]
        rows += corrected(family, "p_holm", "Holm over the pairs of the metric")
    frame = pd.DataFrame(rows) if rows else tables.METRIC_DIFFERENCES.empty()
    return tables.check(frame, tables.METRIC_DIFFERENCES, "metric differences")


def _difference(part: pd.DataFrame, level: float) -> dict[str, Any]:
    by_prompt = (part["score_a"] - part["score_b"]).groupby(part["prompt_id"]).mean().to_numpy()
    n, mean = len(by_prompt), float(by_prompt.mean())
    error = float(by_prompt.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    reason = "one prompt, at least two are needed" if n < 2 else ""
    if n > 1 and not error > 1e-12 * np.abs(by_prompt).max():  # zero but for rounding
        error, reason = float("nan"), "no variation between prompts"
    half = t_quantile(level, n - 1) * error
    clauses = [f"no interval: {reason}"] if reason else []
    clauses += [METHOD] if part["higher_is_better"].all() else [METHOD, LOWER]
    signs = sign_test_of(int((by_prompt > 0).sum()), int((by_prompt < 0).sum()))
    return {
        "mean_difference": mean,
        "ci_low": mean - half,
        "ci_high": mean + half,
        "p_value": float(2 * t_tail(abs(mean) / error, n - 1)),
        "p_sign": signs.p_value,
        "n": len(part),
        "n_prompts": n,
        "method": "; ".join(clauses),
    }
