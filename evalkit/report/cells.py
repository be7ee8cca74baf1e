"""Result tables as tables of the page: headings, and cells that keep the exact value in the CSV."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from evalkit.report.figures import compiled_models, rank_range, seconds_words
from evalkit.wording import decision_words

Row = dict[str, Any]
Cell = Callable[[Row], str]


@dataclass(frozen=True)
class Sheet:
    """A table of the page: its caption, headings, rows of cells, and notes below it.

    The first `names` cells of a row name it. `stamp` stands beside the caption.
    """

    caption: str
    headings: list[str]
    rows: list[list[str]]
    notes: list[str]
    names: int
    stamp: str = ""


def percent(value: float, reason: str = "") -> Markup:
    """A share in [0, 1] as percent, one decimal; a missing one says so, with the reason."""
    return _data(value, f"{value:.1%}") if pd.notna(value) else _missing(reason)


def decimal(value: float, digits: int, reason: str = "") -> Markup:
    """A number with so many decimals; a missing one says so, with the reason."""
    if pd.isna(value):
        return _missing(reason)
    return _data(value, f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}"))


def p_value(value: float) -> Markup:
    """A p-value with three decimals, `<0.001` below that."""
    if pd.isna(value):
        return _missing()
    return _data(value, "<0.001" if value < 0.001 else f"{value:.3f}")


def win_rate_sheet(win_rates: pd.DataFrame, stamp: str) -> Sheet:
    """Every row of `tables.WIN_RATES`."""
    cells: dict[str, Cell] = {
        "Question": lambda row: row["question_id"],
        "A": lambda row: row["model_a"],
        "B": lambda row: row["model_b"],
        "A wins": lambda row: percent(row["win_rate_a"], _reason(row)),
        "95% interval": lambda row: _interval(row, percent),
        "for A": lambda row: _count(row["wins_a"]),
        "for B": lambda row: _count(row["wins_b"]),
        "ties": lambda row: _count(row["ties"]),
        "both bad": lambda row: _count(row["both_bad"]),
        "n": lambda row: _count(row["n"]),
        "prompts": lambda row: _count(row["n_prompts"]),
        "annotators": lambda row: _count(row["n_annotators"]),
        "p": lambda row: p_value(row["p_value"]),
        "p (Holm)": lambda row: p_value(row["p_holm"]),
    }
    notes = [f"Method: {method}." for method in sorted(set(win_rates["method"]))]
    return _sheet("Win rates", cells, win_rates, notes, 3, stamp)


def anytime_sheet(anytime: pd.DataFrame, stamp: str) -> Sheet:
    """Every row of `tables.ANYTIME`."""
    cells: dict[str, Cell] = {
        "Question": lambda row: row["question_id"],
        "A": lambda row: row["model_a"],
        "B": lambda row: row["model_b"],
        "A wins": lambda row: percent(row["win_rate_a"], "no votes"),
        "anytime interval": lambda row: _interval(row, percent),
        "decision": lambda row: decision_words(row),
        "n": lambda row: _count(row["n"]),
        "prompts": lambda row: _count(row["n_prompts"]),
        "annotators": lambda row: _count(row["n_annotators"]),
        "p": lambda row: p_value(row["p_value"]),
        "p (Holm)": lambda row: p_value(row["p_holm"]),
    }
    notes = [f"{word}." for name in ("warning", "method") for word in sorted(set(anytime[name]))]
    return _sheet("Win rates at any time", cells, anytime, notes, 3, stamp)


def rating_sheet(ratings: pd.DataFrame, stamp: str) -> Sheet:
    """Every row of `tables.RATINGS`."""
    cells: dict[str, Cell] = {
        "Question": lambda row: row["question_id"],
        "Model": lambda row: row["model"],
        "Rating": lambda row: decimal(row["rating"], 2, _reason(row)),
        "95% interval": lambda row: _interval(row, lambda value: decimal(value, 2)),
        "Elo scale": lambda row: decimal(row["elo"], 0),
        "Rank": lambda row: rank_range(row["rank_low"], row["rank_high"]) or _missing(),
        "n": lambda row: _count(row["n"]),
        "Fit": lambda row: "converged" if row["converged"] else "not converged",
    }
    notes = [
        "Rating: log-odds, mean zero over the models. Elo scale: 1000 + rating x 400 / ln 10.",
        *(f"Method: {method}." for method in sorted(set(ratings["method"]))),
    ]
    return _sheet("Ratings", cells, ratings, notes, 2, stamp)


def exclusion_sheet(exclusions: pd.DataFrame, stamp: str) -> Sheet:
    """Every row of `tables.EXCLUSIONS`."""
    cells: dict[str, Cell] = {
        "Rule": lambda row: row["rule"],
        "limit": lambda row: (
            _data(row["limit"], f"{row['limit']:g}") if pd.notna(row["limit"]) else ""
        ),
        "annotators": lambda row: _count(row["n_annotators"]),
        "main votes": lambda row: _count(row["n_votes"]),
    }
    return _sheet("Votes that do not count", cells, exclusions, [], 1, stamp)


def sensitivity_sheet(sensitivity: pd.DataFrame, stamp: str) -> Sheet:
    """The win rates of `tables.SENSITIVITY`: as above, and of every main vote."""
    cells: dict[str, Cell] = {
        "Question": lambda row: row["question_id"],
        "A": lambda row: row["model_a"],
        "B": lambda row: row["model_b"],
        "A wins": lambda row: percent(row["estimate"]),
        "95% interval": lambda row: _bounds(row, "ci_low", "ci_high"),
        "n": lambda row: _count(row["n"]),
        "A wins, of every vote": lambda row: percent(row["estimate_all"]),
        "95% interval, of every vote": lambda row: _bounds(row, "ci_low_all", "ci_high_all"),
        "n, of every vote": lambda row: _count(row["n_all"]),
    }
    rows = sensitivity[sensitivity["measure"] == "win_rate_a"]
    notes = ["Ratings, left share, Elo and agreement are in tables/sensitivity.csv."]
    return _sheet("With and without the exclusions", cells, rows, notes, 3, stamp)


def score_sheet(scores: pd.DataFrame, stamp: str) -> Sheet:
    """Every row of `tables.MEAN_SCORES`."""
    cells: dict[str, Cell] = {
        "Metric": lambda row: row["metric"],
        "Weights": lambda row: row["weights"],
        "Model": lambda row: row["model"],
        "Mean": lambda row: decimal(row["mean"], 2, _reason(row)),
        "95% interval": lambda row: _interval(row, lambda value: decimal(value, 2)),
        "images": lambda row: _count(row["n"]),
    }
    notes = [f"Method: {method}." for method in sorted(set(scores["method"]))]
    return _sheet("Metric scores", cells, scores, notes, 3, stamp)


def speed_sheet(speed: pd.DataFrame, stamp: str) -> Sheet:
    """Every row of `tables.SPEED`; the caption says what the seconds are, the notes on what."""
    is_bench = "source" in speed and (speed["source"] != "generation").any()
    cells: dict[str, Cell] = {
        "Model": lambda row: row["model"],
        "Median seconds": lambda row: decimal(row["seconds_median"], 3, "no times"),
        "Quartiles": lambda row: _range(
            row["seconds_low"], row["seconds_high"], lambda value: decimal(value, 3)
        ),
        "calls" if is_bench else "images": lambda row: _count(row["n"]),
    }
    devices = sorted(set(speed["device_name"])) if is_bench else []
    notes = [f"Measured on {device}." for device in devices]
    compiled = compiled_models(speed)
    if compiled:
        notes.append(f"Timed compiled: {', '.join(compiled)}.")
    return _sheet(
        f"S{seconds_words(speed).removeprefix('s')}, after warming up"
        if is_bench
        else "Seconds per image: a batch's time over its images, first batch left out",
        cells,
        speed,
        notes,
        1,
        stamp,
    )


def _sheet(
    caption: str, cells: dict[str, Cell], frame: pd.DataFrame, notes: list[str], names: int,
    stamp: str,
) -> Sheet:  # fmt: skip
    records = frame.to_dict("records")
    rows = [[cell(row) for cell in cells.values()] for row in records]
    return Sheet(caption, list(cells), rows, notes, names, stamp)


def _interval(row: Row, form: Callable[[float], Markup]) -> Markup:
    if pd.isna(row["ci_low"]) or pd.isna(row["ci_high"]):
        return _missing(_reason(row))
    return _range(row["ci_low"], row["ci_high"], form)


def _bounds(row: Row, low: str, high: str) -> Markup:
    if pd.isna(row[low]) or pd.isna(row[high]):
        return _missing()
    return _range(row[low], row[high], percent)


def _range(low: float, high: float, form: Callable[[float], Markup]) -> Markup:
    return form(low) + " to " + form(high)


def _reason(row: Row) -> str:
    """Why an estimate is missing: the clause of its method that says so."""
    clauses = [clause.strip() for clause in str(row["method"]).split(";")]
    return next((clause for clause in clauses if clause.startswith(("no ", "not "))), clauses[0])


def _count(value: int) -> Markup:
    return _data(int(value), f"{int(value):,}")


def _data(value: float, text: str) -> Markup:
    return Markup('<data value="{}">{}</data>').format(repr(value), text)


def _missing(reason: str = "") -> Markup:
    if not reason:
        return Markup('<span class="missing">not estimated</span>')
    return Markup('<span class="missing because">not estimated ({})</span>').format(reason)
