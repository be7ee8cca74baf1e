"""Whether a judge of two images at once prefers a place, and how often it contradicts itself.

The judge was asked twice per pair, with either image first. Source: Zheng et al. 2023, on the
position bias of language models as judges.
"""

from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.intervals import share
from evalkit.analysis.result import LEVEL, Result, require_level
from evalkit.errors import TableError

_BOTH = ("a_when_first", "a_when_second")


def judge_bias(judgements: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """One row (`tables.JUDGE_BIAS`) per metric, weights and question of `tables.JUDGEMENTS`.

    `first_share` (0 to 1) is the share of the n judgements, two per pair, that prefer the image
    shown first; one half where the place says nothing. `contradictions` (0 to 1) is the share of
    the n_pairs whose two judgements prefer different images. A probability over 1/2 is a
    preference; exactly 1/2 is half a preference of the first, and contradicts nothing.

    Both have Wilson's interval by prompt at `level`; what has none is NaN, and `method` says why
    for the share of the first (a judge that never contradicts itself has no variation there). No
    judgements give an empty table. TableError on a wrong table or a probability outside 0 to 1.
    """
    require_level(level)
    judgements = tables.check(judgements, tables.JUDGEMENTS, "judgements")
    _require_probabilities(judgements)
    names = ["metric", "weights", "question_id"]
    rows = [
        {**dict(zip(names, group, strict=True)), **_row(asked, level)}
        for group, asked in judgements.groupby(names, sort=True)
    ]
    if not rows:
        return tables.JUDGE_BIAS.empty()
    return tables.check(pd.DataFrame(rows), tables.JUDGE_BIAS, "judge bias")


def _row(judgements: pd.DataFrame, level: float) -> dict[str, Any]:
    prompt, _ = pd.factorize(judgements["prompt_id"], sort=True)
    when_first, when_second = (_preferred(judgements[name].to_numpy()) for name in _BOTH)
    first = _by_prompt(np.concatenate([when_first, 1 - when_second]), np.tile(prompt, 2), level)
    contrary = _by_prompt(np.abs(when_first - when_second) == 1, prompt, level)
    return {
        "first_share": first.estimate,
        "ci_low": first.ci_low,
        "ci_high": first.ci_high,
        "contradictions": contrary.estimate,
        "contradictions_low": contrary.ci_low,
        "contradictions_high": contrary.ci_high,
        "n": first.n,
        "n_pairs": contrary.n,
        "n_prompts": first.n_prompts,
        "method": first.method,
    }


def _preferred(probability: np.ndarray) -> np.ndarray:
    """1 where a is preferred, 0 where b is, 0.5 where neither."""
    return (1 + np.sign(probability - 0.5)) / 2


def _by_prompt(points: np.ndarray, prompt: np.ndarray, level: float) -> Result:
    """The mean with Wilson's interval by prompt; there is one judge, so no annotators."""
    nobody = np.zeros(len(points), dtype=np.int64)
    return share(points.astype(float), prompt, nobody, "by-prompt", level=level)


def _require_probabilities(judgements: pd.DataFrame) -> None:
    for name in _BOTH:
        wrong = ~judgements[name].between(0, 1)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise TableError(
                f"judgements: row {row + 1}, column {name}: {judgements[name].iloc[row]:g}; "
                "allowed is a probability from 0 to 1; correct the row"
            )
