"""Win rates as bars, one per pair: how high, and how surely."""

from typing import Any
from urllib.parse import urlencode

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evalkit.report.figures.rows import by_row, row_name, rows_figure, share_axis, whisker
from evalkit.report.figures.style import CARD, HALF, MUTED, PALE, STRONG, STYLE, one
from evalkit.report.terms import ties_counted


def win_rate_figure(win_rates: pd.DataFrame, stamp: str = "", linked: bool = False) -> Figure:
    """One bar per pair of one question (`tables.WIN_RATES`), in the order of the table.

    The bar is split at `win_rate_a`: model_a's share from the left, model_b's from the right, with
    the interval across the split and a line at 50%. The preferred side is in full colour where the
    interval leaves out 50%; otherwise both are pale. The axis names the rule for ties.
    With `linked`, each row leads to `pairs_link`.
    """
    with rc_context(STYLE):
        title = one(win_rates["question_id"])
        figure, axes = rows_figure(len(win_rates), title, stamp, right=0.72)
        share_axis(axes)
        axes.axvline(0.5, zorder=4, gid="half", **HALF)
        ties = ties_counted(win_rates)
        axes.set_xlabel(f"win rate ({ties})" if ties else "win rate")
        for y, row in enumerate(win_rates.to_dict("records")):
            _win_rate_bar(axes, y, row)
            if linked:
                _link(axes, y, pairs_link(row))
        return figure


def pairs_link(row: dict[str, Any]) -> str:
    """Where the page shows the pairs behind a row of `tables.WIN_RATES`, of a slice too."""
    asked = {"question": row["question_id"], "a": row["model_a"], "b": row["model_b"]}
    if row.get("by") in ("category", "challenge") and row["value"]:
        asked[row["by"]] = row["value"]
    return f"#pairs?{urlencode(asked)}"


def _win_rate_bar(axes: Axes, y: int, row: dict[str, Any]) -> None:
    a, b, rate = row["model_a"], row["model_b"], row["win_rate_a"]
    low, high = row["ci_low"], row["ci_high"]
    side = {"x": 1.02, "va": "center", "color": MUTED, "fontsize": 8, "transform": by_row(axes)}
    unknown = "\nno interval" if pd.isna(low) and pd.notna(rate) else ""
    axes.text(y=y + 0.1, s=f"n = {row['n']:,}{unknown}", **side)
    if pd.isna(rate):
        row_name(axes, y, a, "", bold=False, right=False)
        row_name(axes, y, b, "", bold=False, right=True)
        axes.text(0.25, y + 0.1, "not estimated", va="center", ha="center", color=MUTED)
        return
    for model, share, won, left in [
        (a, rate, low > 0.5, 0.0),  # NaN bounds: neither
        (b, 1 - rate, high < 0.5, rate),
    ]:
        colour = STRONG if won else PALE
        axes.barh(y + 0.1, share, left=left, height=0.34, color=colour, zorder=2, linewidth=0)
        row_name(axes, y, model, f"{share:.0%}", bold=won, right=model == b)
    axes.plot([rate] * 2, [y - 0.07, y + 0.27], color=CARD, linewidth=2, zorder=3)
    whisker(axes, y + 0.1, low, high)


def _link(axes: Axes, y: int, url: str) -> None:
    """Nothing to see over the whole row, which can be pressed."""
    axes.barh(y - 0.08, 1, height=0.86, color=CARD, alpha=0, zorder=9, url=url)
