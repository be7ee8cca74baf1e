"""Result tables as tables of the page: headings, and cells that keep the exact value in the CSV."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

Row = dict[str, Any]
Cell = Callable[[Row], str]
Form = Callable[[float], Markup]

_MOST_ROWS = 12  # of a table that stands open


@dataclass(frozen=True)
class Sheet:
    """A table of the page: its id, caption, headings, rows of cells, and notes below it.

    The first `names` cells of a row name it. `stamp` stands beside the caption. What is `aside`,
    and what is long, is folded until a reader asks for it.
    """

    id: str
    caption: str
    headings: list[str]
    rows: list[list[str]]
    notes: list[str]
    names: int
    stamp: str = ""
    aside: bool = False

    @property
    def folded(self) -> bool:
        """Whether a reader must open it first."""
        return self.aside or len(self.rows) > _MOST_ROWS


def sheet(
    name: str,
    caption: str,
    cells: dict[str, Cell],
    frame: pd.DataFrame,
    *,
    names: int,
    stamp: str = "",
    notes: list[str] | None = None,
    aside: bool = False,
) -> Sheet:
    """A row of `cells`, by heading, for every row of the frame; its id is `table-` and the name."""
    rows = [[cell(row) for cell in cells.values()] for row in frame.to_dict("records")]
    return Sheet(f"table-{name}", caption, list(cells), rows, notes or [], names, stamp, aside)


def text(column: str) -> Cell:
    """A cell with the words of a column."""
    return lambda row: row[column]


def number(column: str, form: Form) -> Cell:
    """A cell with the number of a column, or why it is missing, as the row's method says."""
    return lambda row: form(row[column]) if pd.notna(row[column]) else missing(reason(row))


def leading(cell: Cell, to: Callable[[Row], str]) -> Cell:
    """A cell that leads to an address on the page."""
    return lambda row: Markup('<a href="{}">{}</a>').format(to(row), cell(row))


def tally(column: str) -> Cell:
    """A cell with a count."""
    return lambda row: count(row[column])


def interval(form: Form, low: str = "ci_low", high: str = "ci_high") -> Cell:
    """A cell with both bounds of an interval, or why it is missing, as the row's method says."""

    def cell(row: Row) -> Markup:
        if pd.isna(row[low]) or pd.isna(row[high]):
            return missing(reason(row))
        return span(row[low], row[high], form)

    return cell


def percent(value: float) -> Markup:
    """A share in [0, 1] as percent, one decimal; a missing one says so."""
    return data(value, f"{value:.1%}") if pd.notna(value) else missing()


def decimals(digits: int) -> Form:
    """Numbers with so many decimals; a missing one says so."""

    def form(value: float) -> Markup:
        if pd.isna(value):
            return missing()
        return data(value, f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}"))

    return form


def p_value(value: float) -> Markup:
    """A p-value with three decimals, `<0.001` below that."""
    if pd.isna(value):
        return missing()
    return data(value, "<0.001" if value < 0.001 else f"{value:.3f}")


def count(value: int) -> Markup:
    """A count, its thousands apart."""
    return data(int(value), f"{int(value):,}")


def span(low: float, high: float, form: Form) -> Markup:
    """`low to high`."""
    return form(low) + " to " + form(high)


def data(value: float, words: str) -> Markup:
    """A number as words that keep its exact value."""
    return Markup('<data value="{}">{}</data>').format(repr(value), words)


def missing(why: str = "") -> Markup:
    """What says that there is no estimate, and why."""
    if not why:
        return Markup('<span class="missing">not estimated</span>')
    return Markup('<span class="missing because">not estimated ({})</span>').format(why)


def reason(row: Row) -> str:
    """Why an estimate is missing: the clause of its method that says so; empty without a method."""
    clauses = [clause.strip() for clause in str(row.get("method", "")).split(";")]
    return next((clause for clause in clauses if clause.startswith(("no ", "not "))), clauses[0])


def methods(frame: pd.DataFrame) -> list[str]:
    """A note for each method of a table."""
    return [f"Method: {method}." for method in sorted(set(frame["method"]))]
