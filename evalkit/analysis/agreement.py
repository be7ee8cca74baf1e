"""Agreement between annotators, and of annotators with themselves, with clustered intervals."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.coding import encode
from evalkit.analysis.coincidences import (
    Coincidences,
    Measure,
    alpha,
    bootstrap,
    coincidences,
    observed,
    two_way_jackknife,
)
from evalkit.analysis.counting import checked, in_time, labelled, main_only
from evalkit.analysis.exclusions import counted
from evalkit.analysis.intervals import share
from evalkit.analysis.result import LEVEL
from evalkit.analysis.student import t_quantile
from evalkit.analysis.units import units

REPLICATES = 1000
_MEASURES: dict[str, tuple[Measure, str, float]] = {  # with its name and its least value
    "krippendorff_alpha": (alpha, "Krippendorff's alpha (nominal)", -1.0),
    "raw_agreement": (observed, "raw agreement", 0.0),
}


@dataclass(frozen=True)
class Agreement:
    """A measure of agreement with its intervals, and the votes, units and annotators behind it.

    `ci_low` and `ci_high` are for new prompts and new annotators; `bootstrap_low` and
    `bootstrap_high` for new prompts and these annotators, drawn with `seed`. Bounds are NaN where
    there is no interval, and `method` says why.
    """

    estimate: float
    ci_low: float
    ci_high: float
    n: int
    n_units: int
    n_annotators: int
    method: str
    bootstrap_low: float = float("nan")
    bootstrap_high: float = float("nan")
    seed: int | None = None

    def row(self) -> dict[str, Any]:
        """The fields by name, as one row of a data frame."""
        return asdict(self)


def agreement(
    comparisons: pd.DataFrame,
    *,
    level: float = LEVEL,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """Three rows per question (`tables.AGREEMENT`): how far votes on the same say the same.

    `krippendorff_alpha` is nominal over the winners (1: always alike, 0: as by chance, negative:
    less than that); `raw_agreement` in [0, 1] is the chance that another annotator's vote on the
    same says the same: see `between_annotators`. `repeat_consistency` in [0, 1] is the share of the
    `n` repeats that choose as their annotator's first showing did, with the interval of a win rate.
    Of an annotator's votes on the same the first by created_at counts; without that column, the
    first row. Undefined numbers are NaN with the reason in `method`. No comparisons give an empty
    table.
    """
    votes_in_time = in_time(counted(checked(comparisons))).reset_index(drop=True)
    unit, named = units(votes_in_time)
    rows = []
    for question_id, asked in votes_in_time.groupby("question_id", sort=True):
        main = main_only(asked)
        votes = encode(main)
        found = coincidences(votes.outcome, unit[main.index], votes.annotator, votes.prompt)
        results = {
            measure: between_annotators(
                found, measure, named=named, level=level, seed=seed, replicates=replicates
            )
            for measure in _MEASURES
        }
        results["repeat_consistency"] = repeat_consistency(asked, unit[asked.index], level=level)
        rows += [
            {"question_id": question_id, "measure": measure, **result.row()}
            for measure, result in results.items()
        ]
    frame = pd.DataFrame(rows) if rows else tables.AGREEMENT.empty()
    return labelled(tables.check(frame, tables.AGREEMENT, "agreement"), comparisons)


def between_annotators(
    found: Coincidences,
    measure: str,
    *,
    named: str = "units",
    level: float = LEVEL,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Agreement:
    """One measure, `krippendorff_alpha` or `raw_agreement`, of the coincidences of some votes.

    The interval is the two-way (prompt x annotator) jackknife with the t quantile on
    min(prompts, annotators) - 1 degrees of freedom; beside it stands the percentile bootstrap over
    prompts, which takes the annotators as they are and is too narrow where they differ.
    NaN, with the reason, where no two annotators voted on the same, or all votes are the same; no
    interval with one prompt, with two annotators, or without variation.
    """
    of, name, least = _MEASURES[measure]
    behind = (found.n, len(found.units), found.n_annotators)
    received = found.n + found.n_left_out
    alone = f"; {found.n_left_out:,} of {received:,} votes have no other's beside them"
    more = alone if found.n_left_out else ""
    nan = float("nan")
    if found.n == 0:
        reason = f"not estimated: no two annotators voted on the same{more}"
        return Agreement(nan, nan, nan, *behind, reason)
    estimate = float(of(found.units.sum(axis=0)))
    if np.isnan(estimate):
        return Agreement(nan, nan, nan, *behind, f"not estimated: every vote is the same{more}")
    method = f"{name} over {named}"
    if found.n_prompts < 2 or estimate == 1:
        reason = "every vote agrees" if estimate == 1 else "one prompt, at least two are needed"
        return Agreement(estimate, nan, nan, *behind, f"{method}; no interval: {reason}{more}")
    half, how = _half_width(found, of, level)
    drawn = bootstrap(found, of, seed, replicates)
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Agreement(
        estimate,
        float(np.maximum(least, estimate - half)),
        float(np.minimum(1, estimate + half)),
        *behind,
        f"{method}; {how}; beside it {replicates:,} bootstraps of the prompts{more}",
        float(low),
        float(high),
        seed,
    )


def _half_width(found: Coincidences, measure: Measure, level: float) -> tuple[float, str]:
    """Half of the interval and how it is made; NaN and the reason where there is none."""
    if found.n_annotators < 3:
        return float("nan"), "no interval: two annotators, at least three are needed"
    variance = two_way_jackknife(found, measure)
    if not variance > 1e-20:  # zero but for rounding
        return float("nan"), "no interval: no variation between prompts and annotators"
    freedom = min(found.n_prompts, found.n_annotators) - 1
    quantile = t_quantile(level, freedom)
    return quantile * float(np.sqrt(variance)), "two-way (prompt x annotator) jackknife, t"


def repeat_consistency(asked: pd.DataFrame, unit: np.ndarray, *, level: float = LEVEL) -> Agreement:
    """The share of repeats that choose as the same annotator's first showing of the same unit.

    `asked` are comparisons with their `unit` codes. A tie agrees with a tie only, both_bad with
    both_bad only; a repeat whose first showing has no vote does not count. Without repeats the
    share is NaN with n = 0. The interval is that of a win rate.
    """
    votes = encode(asked)
    kind = asked["kind"].to_numpy() if "kind" in asked.columns else np.full(len(asked), "main")
    codes = pd.DataFrame(
        {"annotator": votes.annotator, "unit": unit, "prompt": votes.prompt, "value": votes.outcome}
    )
    key = ["annotator", "unit"]
    first = codes[kind == "main"].drop_duplicates(key)[[*key, "value"]]
    both = codes[kind == "repeat"].merge(first, on=key, suffixes=("", "_first"))
    alike = (both["value"] == both["value_first"]).to_numpy(dtype=float)
    prompt, annotator = both["prompt"].to_numpy(), both["annotator"].to_numpy()
    result = share(alike, prompt, annotator, level=level)
    return Agreement(
        estimate=result.estimate,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        n=len(both),
        n_units=both["unit"].nunique(),
        n_annotators=both["annotator"].nunique(),
        method="not estimated: no repeats" if both.empty else result.method,
    )
