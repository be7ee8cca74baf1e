"""Margins: what each metric gives the two images of a pair, whatever kind of metric it is."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.errors import TableError

_TURNED = {
    "model_a": "model_b", "model_b": "model_a", "image_a": "image_b", "image_b": "image_a",
    "score_a": "score_b", "score_b": "score_a",
}  # fmt: skip


def margins(
    pairs: pd.DataFrame,
    scores: pd.DataFrame | None = None,
    judgements: pd.DataFrame | None = None,
    *,
    lower_is_better: Collection[str] = (),
) -> pd.DataFrame:
    """One row per metric, weights and pair whose images both have a score (`tables.MARGINS`).

    `scores` (`tables.SCORES`) of the very images of the `pairs` (`tables.PAIRS`) serve every
    question: question_id is empty. `judgements` (`tables.JUDGEMENTS`) speak of their question:
    score_a is the probability that a is preferred, score_b the rest to one. Scores stand in the
    metric's own unit; `lower_is_better` names the metrics, those of distances, in which less is
    better. model_a comes before model_b by name. Nothing scored gives an empty table. TableError on
    a table that is not as declared, and on a score that is not finite.
    """
    parts = [tables.MARGINS.empty()]
    if scores is not None:
        parts.append(_of_images(pairs, scores))
    if judgements is not None:
        parts.append(_of_judges(judgements))
    found = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    found = _by_name(found)
    better = ~found["metric"].isin([*lower_is_better])
    checked = tables.check(found.assign(higher_is_better=better), tables.MARGINS, "margins")
    _require_finite(checked)
    return checked


def leads(found: pd.DataFrame) -> np.ndarray:
    """How far the metric puts a before b in each row of margins: negative where b is better."""
    sign = np.where(found["higher_is_better"].to_numpy(dtype=bool), 1.0, -1.0)
    return sign * (found["score_a"] - found["score_b"]).to_numpy(dtype=float)


def _of_images(pairs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    found = tables.check(pairs, tables.PAIRS, "pairs")
    given = tables.check(scores, tables.SCORES, "scores")
    given = given[["image_id", "metric", "weights", "score"]]
    on = []
    for side in ("a", "b"):
        named = given.rename(columns={"image_id": f"image_{side}", "score": f"score_{side}"})
        found = found.merge(named, on=[f"image_{side}", *on])
        on = ["metric", "weights"]
    return found.assign(question_id="")


def _of_judges(judgements: pd.DataFrame) -> pd.DataFrame:
    given = tables.check(judgements, tables.JUDGEMENTS, "judgements")
    return given.assign(score_a=given["score"], score_b=1 - given["score"])


def _by_name(found: pd.DataFrame) -> pd.DataFrame:
    """The rows, those turned round whose models do not stand by name."""
    turned = found["model_a"] > found["model_b"]
    return pd.concat([found[~turned], found[turned].rename(columns=_TURNED)], ignore_index=True)


def _require_finite(found: pd.DataFrame) -> None:
    wrong = ~np.isfinite(found[["score_a", "score_b"]].to_numpy(dtype=float)).all(axis=1)
    if wrong.any():
        row = found.iloc[int(wrong.argmax())]
        raise TableError(
            f"margins: pair {row['pair_id']}, metric {row['metric']}: a score that is not finite; "
            "allowed is a number; score the image anew"
        )
