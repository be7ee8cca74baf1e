"""Result tables as LaTeX, with booktabs rules: what a paper takes in by its input command."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evalkit.report.figures import rank_range
from evalkit.report.terms import MEASURES

Row = dict[str, Any]
Cell = Callable[[Row], str]

_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{sign: "\\" + sign for sign in "&%$#_{}"},
    }
)
_DASH = "--"  # an en dash: not estimated


@dataclass(frozen=True)
class LatexTable:
    """A table: headings and the cells of each row; the first `names` columns are set left.

    `stamp` stands above the table, such as SIMULATED VOTES; `notes` are comments of the file.
    """

    headings: list[str]
    rows: list[list[str]]
    names: int
    stamp: str = ""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """A `tabular` that needs the package booktabs."""
        columns = "l" * self.names + "r" * (len(self.headings) - self.names)
        lines = [f"% {line}" for line in ("needs: \\usepackage{booktabs}", *self.notes)]
        lines += [rf"\begin{{tabular}}{{{columns}}}"]
        if self.stamp:
            words = rf"\textbf{{{escaped(self.stamp)}}}"
            lines += [rf"\multicolumn{{{len(self.headings)}}}{{l}}{{{words}}} \\"]
        lines += [r"\toprule", _line(self.headings), r"\midrule"]
        lines += [*map(_line, self.rows), r"\bottomrule", r"\end{tabular}"]
        return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """The text with every character that LaTeX gives a meaning written so that it is printed."""
    return " ".join(str(text).split()).translate(_SPECIAL)


def win_rate_latex(win_rates: pd.DataFrame, stamp: str) -> LatexTable:
    """Every row of `tables.WIN_RATES`; shares in percent."""
    cells: dict[str, Cell] = {
        "Question": lambda row: escaped(row["question_id"]),
        "A": lambda row: escaped(row["model_a"]),
        "B": lambda row: escaped(row["model_b"]),
        r"win rate of A (\%)": lambda row: _percent(row["win_rate_a"]),
        r"95\% interval": lambda row: _interval(row, _percent),
        "for A": lambda row: _count(row["wins_a"]),
        "for B": lambda row: _count(row["wins_b"]),
        "ties": lambda row: _count(row["ties"]),
        "both bad": lambda row: _count(row["both_bad"]),
        "$n$": lambda row: _count(row["n"]),
        "$p$": lambda row: _p_value(row["p_value"]),
        "$p$ (Holm)": lambda row: _p_value(row["p_holm"]),
    }
    return _table(cells, win_rates, 3, stamp)


def rating_latex(ratings: pd.DataFrame, stamp: str) -> LatexTable:
    """Every row of `tables.RATINGS`; tied: whether the model may be the best one."""
    cells: dict[str, Cell] = {
        "Question": lambda row: escaped(row["question_id"]),
        "Model": lambda row: escaped(row["model"]),
        "Rating": lambda row: _decimal(row["rating"], 2),
        r"95\% interval": lambda row: _interval(row, lambda value: _decimal(value, 2)),
        "Elo scale": lambda row: _decimal(row["elo"], 0),
        "Rank": lambda row: (
            rank_range(row["rank_low"], row["rank_high"]).replace("\N{EN DASH}", "--") or _DASH
        ),
        "Tied for first": lambda row: _flag(row.get("tied_for_first")),
        "$n$": lambda row: _count(row["n"]),
    }
    return _table(cells, ratings, 2, stamp)


def agreement_latex(agreement: pd.DataFrame, stamp: str) -> LatexTable:
    """Every row of `tables.AGREEMENT`."""
    cells: dict[str, Cell] = {
        "Question": lambda row: escaped(row["question_id"]),
        "Measure": lambda row: escaped(MEASURES[row["measure"]]),
        "Estimate": lambda row: _decimal(row["estimate"], 3),
        r"95\% interval": lambda row: _interval(row, lambda value: _decimal(value, 3)),
        "$n$": lambda row: _count(row["n"]),
        "units": lambda row: _count(row["n_units"]),
        "annotators": lambda row: _count(row["n_annotators"]),
    }
    return _table(cells, agreement, 2, stamp)


def exclusion_latex(exclusions: pd.DataFrame, stamp: str) -> LatexTable:
    """Every row of `tables.EXCLUSIONS`."""
    cells: dict[str, Cell] = {
        "Rule": lambda row: escaped(row["rule"].replace("_", " ")),
        "limit": lambda row: f"{row['limit']:g}" if pd.notna(row["limit"]) else "",
        "annotators": lambda row: _count(row["n_annotators"]),
        "main votes": lambda row: _count(row["n_votes"]),
    }
    return _table(cells, exclusions, 1, stamp)


def metric_agreement_latex(agreement: pd.DataFrame, stamp: str) -> LatexTable:
    """Every row of `tables.METRIC_AGREEMENT`."""
    cells: dict[str, Cell] = {
        "Question": lambda row: escaped(row["question_id"]),
        "Metric": lambda row: escaped(row["metric"]),
        "Weights": lambda row: escaped(row["weights"]),
        "Measure": lambda row: escaped(MEASURES[row["measure"]]),
        "Estimate": lambda row: _decimal(row["estimate"], 3),
        r"95\% interval": lambda row: _interval(row, lambda value: _decimal(value, 3)),
        "$n$": lambda row: _count(row["n"]),
        "prompts": lambda row: _count(row["n_prompts"]),
        "annotators": lambda row: _count(row["n_annotators"]),
    }
    return _table(cells, agreement, 4, stamp)


def _table(cells: dict[str, Cell], frame: pd.DataFrame, names: int, stamp: str) -> LatexTable:
    rows = [[cell(row) for cell in cells.values()] for row in frame.to_dict("records")]
    methods = sorted(set(frame["method"])) if "method" in frame.columns else []
    notes = tuple(" ".join(f"method: {method}".split()) for method in methods)
    return LatexTable(list(cells), rows, names, stamp, notes)


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _interval(row: Row, form: Callable[[float], str]) -> str:
    if pd.isna(row["ci_low"]) or pd.isna(row["ci_high"]):
        return _DASH
    return f"{form(row['ci_low'])} to {form(row['ci_high'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if pd.notna(share) else _DASH


def _decimal(value: float, digits: int) -> str:
    """A hyphen is no minus sign: a negative number stands in math."""
    if pd.isna(value):
        return _DASH
    text = f"{value:.{digits}f}"
    return f"${text}$" if text.startswith("-") else text


def _p_value(value: float) -> str:
    if pd.isna(value):
        return _DASH
    return "$<$0.001" if value < 0.001 else f"{value:.3f}"


def _flag(value: object) -> str:
    if value is None or pd.isna(value):
        return _DASH
    return "yes" if value else "no"


def _count(n: int) -> str:
    return f"{int(n)}"
