"""What a metric gave, in words and as JSON: one function per kind of each."""

from math import isnan
from typing import Any

import pandas as pd

from evalkit.analysis import mean_scores
from evalkit.metrics import metric_card
from evalkit.result_tables.writing import rows_of
from evalkit.wording import counted, score_lines

_MATCHUP = ["question_id", "model_a", "model_b"]


def told_lines(table: pd.DataFrame) -> list[str]:
    """A line about the metric, then one per model or matchup of models."""
    kinds = {
        "image": score_lines,
        "pair": _judgement_lines,
        "set": _set_lines,
        "spread": _spread_lines,
    }
    return kinds[_kind(table)](table)


def told_json(table: pd.DataFrame) -> dict[str, Any]:
    """Keys metric, kind, weights, n, models (or matchups); of images also truncated and skipped.

    `n` counts rows of the table: images, judgements, models, or prompts of a model.
    """
    kind = _kind(table)
    said = {"metric": _of(table, "metric"), "kind": kind, "weights": _of(table, "weights")}
    said["n"] = len(table)
    if kind == "image":
        said["truncated"] = int(table["truncated"].sum())
        said["skipped"] = table.attrs["skipped"]
    if kind == "pair":
        return {**said, "matchups": rows_of(matchup_means(table))}
    return {**said, "models": rows_of(table if kind == "set" else mean_scores(table))}


def matchup_means(judgements: pd.DataFrame) -> pd.DataFrame:
    """Columns question_id, model_a, model_b, score, first, n: means over the pairs (n).

    `score` is the probability that model_a is preferred, `first` that the image shown first is,
    whichever it is: .5 of a judge that prefers no place.
    """
    first = (judgements["a_when_first"] + 1 - judgements["a_when_second"]) / 2
    groups = judgements.assign(first=first).groupby(_MATCHUP)
    means = groups[["score", "first"]].mean()
    return means.assign(n=groups.size()).reset_index()


def _judgement_lines(judgements: pd.DataFrame) -> list[str]:
    lines = [_head(judgements, "judgement")]
    for row in matchup_means(judgements).itertuples():
        lines.append(
            f"  {row.question_id}: {row.model_a} preferred to {row.model_b} with {row.score:.2f} "
            f"({counted(row.n, 'pair')}; the image shown first with {row.first:.2f})"
        )
    return lines


def _set_lines(scores: pd.DataFrame) -> list[str]:
    lines = [_head(scores, "model")]
    for row in scores.itertuples():
        interval = "" if isnan(row.ci_low) else f" ({_short(row.ci_low)} to {_short(row.ci_high)})"
        lines.append(
            f"  {row.model}: {_short(row.score)}{interval}, {row.n:,} images against "
            f"{row.n_reference:,} of {row.reference}"
        )
    return lines


def _short(value: float) -> str:
    """Two decimals, and three digits that count below one: distances are often of thousandths."""
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def _spread_lines(spreads: pd.DataFrame) -> list[str]:
    lines = [_head(spreads, "prompt and model", "prompts and models")]
    for row in mean_scores(spreads).itertuples():
        interval = "" if isnan(row.ci_low) else f" ({row.ci_low:.3f} to {row.ci_high:.3f})"
        lines.append(f"  {row.model}: {row.mean:.3f}{interval}, {counted(row.n, 'prompt')}")
    return lines


def _head(table: pd.DataFrame, noun: str, plural: str | None = None) -> str:
    n = len(table)
    nouns = counted(n, noun) if n == 1 or plural is None else f"{n:,} {plural}"
    return f"{_of(table, 'metric')} of {nouns}, weights {_of(table, 'weights')}"


def _kind(table: pd.DataFrame) -> str:
    return metric_card(_of(table, "metric")).kind


def _of(table: pd.DataFrame, column: str) -> str:
    return str(table[column].iloc[0])
