"""Win rates by category and challenge: where a preference comes from, and with what caution."""

import pandas as pd

from evalkit.report.cells import (
    Sheet,
    interval,
    leading,
    methods,
    number,
    p_value,
    percent,
    sheet,
    tally,
    text,
)
from evalkit.report.figures import pairs_link, slice_figure
from evalkit.report.figures.slices import NO_VALUE
from evalkit.report.results import Results
from evalkit.report.section import Drawing, Part, Section

_MOST_PAIRS = 6  # of a figure: those of four models
_ABSENT = (
    "No slices: the prompts of this study have one category and one challenge, or none. Any other "
    "column of the comparisons can be named with evalkit analyze STUDY --by COLUMN."
)


def slices_section(results: Results) -> Section:
    """A part per column that the analysis was sliced by: a figure per question, and the table."""
    parts = [_part(results, by, slices) for by, slices in results.win_rates_by.items()]
    return Section("slices", "By category and challenge", parts or [Part(absent=_ABSENT)])


def _part(results: Results, by: str, slices: pd.DataFrame) -> Part:
    n = len(slices)
    warning = (
        f"Read with caution: there are {n:,} intervals here, and of every 20 that have nothing to "
        "show, one leaves out 50% by chance alone. Only full dots are preferences by the test over "
        "all pairs and values of their question (Holm); half-filled ones rest on their own "
        "interval, and are hints for another study."
    )
    drawings = [_drawing(results, by, slices, name) for name in results.question_ids]
    return Part(
        f"By {by}", [warning], [drawing for drawing in drawings if drawing],
        [_slice_sheet(results, by, slices)],
    )  # fmt: skip


def _drawing(results: Results, by: str, slices: pd.DataFrame, question_id: str) -> Drawing | None:
    asked = slices[slices["question_id"] == question_id]
    if asked.empty:
        return None
    shown, which = _few_pairs(asked, results.asked("ratings", question_id))
    return results.drawing(
        f"win-rates-by-{by}-{question_id}",
        f"{results.study.question(question_id).text} {which}",
        slice_figure(shown, results.stamp),
        f"Win rates on {question_id} by {by}; the numbers are in the table of win rates by {by}.",
    )


def _few_pairs(asked: pd.DataFrame, ratings: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """All pairs where they are few, else those of the model with the highest rating; and which."""
    n = len(asked[["model_a", "model_b"]].drop_duplicates())
    rated = ratings.dropna(subset=["rating"])
    if n <= _MOST_PAIRS or rated.empty:
        return asked, ""
    best = rated.loc[rated["rating"].idxmax(), "model"]
    own = asked[(asked["model_a"] == best) | (asked["model_b"] == best)]
    return own, f"The pairs of {best}, rated highest; all {n} are in the table."


def _slice_sheet(results: Results, by: str, slices: pd.DataFrame) -> Sheet:
    """Every row of the win rates by that column; its win rate leads to the pairs behind it."""
    rate = number("win_rate_a", percent)
    cells = {
        "Question": text("question_id"),
        "A": text("model_a"),
        "B": text("model_b"),
        by.capitalize(): lambda row: row["value"] or NO_VALUE,
        "win rate of A": leading(rate, pairs_link) if results.pairs_are_known else rate,
        "95% interval": interval(percent),
        "for A": tally("wins_a"),
        "for B": tally("wins_b"),
        "ties": tally("ties"),
        "both bad": tally("both_bad"),
        "n": tally("n"),
        "prompts": tally("n_prompts"),
        "p (Holm)": lambda row: p_value(row["p_holm"]),
    }
    return sheet(
        f"win-rates-by-{by}", f"Win rates by {by}", cells, slices, names=4, stamp=results.stamp,
        notes=methods(slices), aside=True,
    )  # fmt: skip
