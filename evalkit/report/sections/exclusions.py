"""Exclusions: how many votes each rule sets aside, and the headline with and without."""

import pandas as pd

from evalkit.report.cells import (
    Row,
    Sheet,
    data,
    interval,
    number,
    percent,
    sheet,
    tally,
    text,
)
from evalkit.report.results import Results
from evalkit.report.section import Part


def exclusions_part(results: Results) -> Part:
    """The rules with their counts; the win rates of every vote beside them where some are aside."""
    words = (
        "Whose votes do not count is decided by rules that were fixed before the first vote; no "
        "vote is deleted."
    )
    sheets = [exclusion_sheet(results)]
    if results.summary["votes_excluded"]:
        sheets.append(sensitivity_sheet(results))
    return Part("Exclusions", [words], sheets=sheets)


def exclusion_sheet(results: Results) -> Sheet:
    """Every row of `tables.EXCLUSIONS`."""
    cells = {
        "Rule": text("rule"),
        "limit": _limit,
        "annotators": tally("n_annotators"),
        "main votes": tally("n_votes"),
    }
    caption, frame = "Votes that do not count", results.exclusions
    return sheet("exclusions", caption, cells, frame, names=1, stamp=results.stamp)


def sensitivity_sheet(results: Results) -> Sheet:
    """The win rates of `tables.SENSITIVITY`: as above, and of every main vote."""
    rows = results.sensitivity[results.sensitivity["measure"] == "win_rate_a"]
    return sheet(
        "sensitivity",
        "With and without the exclusions",
        {
            "Question": text("question_id"),
            "A": text("model_a"),
            "B": text("model_b"),
            "win rate of A": number("estimate", percent),
            "95% interval": interval(percent),
            "n": tally("n"),
            "win rate of A, of every vote": number("estimate_all", percent),
            "95% interval, of every vote": interval(percent, "ci_low_all", "ci_high_all"),
            "n, of every vote": tally("n_all"),
        },
        rows,
        names=3,
        stamp=results.stamp,
        notes=["Ratings, left share, Elo and agreement are in tables/sensitivity.csv."],
    )


def _limit(row: Row) -> str:
    return data(row["limit"], f"{row['limit']:g}") if pd.notna(row["limit"]) else ""
