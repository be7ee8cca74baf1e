"""Win rates per question and pair of models, with intervals clustered by prompt and annotator."""

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.coding import encode, orient
from evalkit.analysis.intervals import holm, two_way_share

TIE_RULE = "ties and both_bad count half"


def win_rates(comparisons: pd.DataFrame) -> pd.DataFrame:
    """One row per question and pair (`tables.WIN_RATES`), sorted by question and models.

    `win_rate_a` is the share in [0, 1] of comparisons that model_a won, ties and both_bad counting
    half; `n` counts them all. `p_value` tests 1/2 and agrees with the interval; `p_holm` is
    corrected over the pairs of one question. Only comparisons of kind main count, where kinds are
    given. No comparisons give an empty table.
    """
    comparisons = orient(main_only(comparisons))
    rows = []
    for question_id, asked in comparisons.groupby("question_id", sort=True):
        family = [
            {"question_id": question_id, "model_a": model_a, "model_b": model_b, **_row(pair)}
            for (model_a, model_b), pair in asked.groupby(["model_a", "model_b"], sort=True)
        ]
        adjusted = holm(np.array([row["p_value"] for row in family]))
        rows += [{**row, "p_holm": p} for row, p in zip(family, adjusted, strict=True)]
    frame = pd.DataFrame(rows) if rows else tables.WIN_RATES.empty()
    return tables.check(frame, tables.WIN_RATES, "win rates")


def main_only(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The comparisons that count: those of kind main, or all where no kind is given."""
    if "kind" not in comparisons.columns:
        return comparisons
    return comparisons[comparisons["kind"] == "main"]


def _row(pair: pd.DataFrame) -> dict[str, object]:
    coded = encode(pair)
    result = two_way_share(coded.points, coded.prompt, coded.annotator)
    counts = pair["winner"].value_counts()
    return {
        "wins_a": int(counts.get("model_a", 0)),
        "wins_b": int(counts.get("model_b", 0)),
        "ties": int(counts.get("tie", 0)),
        "both_bad": int(counts.get("both_bad", 0)),
        "n": result.n,
        "n_prompts": coded.n_prompts,
        "n_annotators": coded.n_annotators,
        "win_rate_a": result.estimate,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "p_value": result.p_value,
        "method": f"{result.method}; {TIE_RULE}",
    }
