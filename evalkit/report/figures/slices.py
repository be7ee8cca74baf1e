"""Win rates by a column of the prompts: a panel per pair, a dot with its interval per value."""

from math import ceil
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from evalkit.report.figures.rows import share_axis
from evalkit.report.figures.style import (
    CARD,
    GRID,
    HALF,
    INK,
    LEFT,
    MUTED,
    RIGHT,
    STRONG,
    STYLE,
    WIDTH,
    head,
    one,
    short_name,
)
from evalkit.report.firmness import firmness
from evalkit.report.terms import ties_counted

NO_VALUE = "(none)"
_TOP, _BOTTOM, _HEAD, _FOOT, _ROW = 0.34, 0.3, 0.42, 0.26, 0.17  # inches
_NAMES, _GAP = 1.3, 0.18  # inches: beside the first panel of a line, between panels
_NAME_LENGTH = 24
_SMALL = 7.5  # points
_DOTS = {  # as the legend of the page has them
    "firm": {"color": STRONG, "fillstyle": "full"},
    "single": {"color": STRONG, "fillstyle": "left", "markerfacecoloralt": CARD},
    "open": {"color": MUTED, "fillstyle": "none", "markerfacecolor": CARD},
}


def slice_figure(slices: pd.DataFrame, stamp: str = "") -> Figure:
    """A panel per pair, a row per value (`tables.WIN_RATES` with `by`, of one question).

    A dot is the win rate of model_a, with its interval and a line at 50%: full where the test
    over all pairs and values shows a preference (Holm), half where only its own interval does,
    open otherwise.
    """
    with rc_context(STYLE):
        values = list(dict.fromkeys(slices["value"]))
        pairs = list(slices.groupby(["model_a", "model_b"], sort=False))
        columns = min(2, len(pairs))
        lines = ceil(len(pairs) / columns)
        panel = _ROW * len(values)
        height = _TOP + _BOTTOM + lines * (_HEAD + panel + _FOOT)
        width = (WIDTH - LEFT - _NAMES - RIGHT - _GAP * (columns - 1)) / columns
        figure = Figure(figsize=(WIDTH, height))
        head(figure, f"{one(slices['question_id'])} by {one(slices['by'])}", stamp)
        for number, (models, rows) in enumerate(pairs):
            line, column = divmod(number, columns)
            left = LEFT + _NAMES + column * (width + _GAP)
            top = _TOP + line * (_HEAD + panel + _FOOT) + _HEAD
            axes = figure.add_axes(
                (left / WIDTH, 1 - (top + panel) / height, width / WIDTH, panel / height)
            )
            _panel(axes, models, width, values, rows.set_index("value"), named=column == 0)
        ties = f" ({said})" if (said := ties_counted(slices)) else ""
        figure.text(
            1 - RIGHT / WIDTH, 0.1 / height, f"win rate of the model named first{ties}", ha="right",
            va="bottom", color=MUTED, fontsize=8,
        )  # fmt: skip
        return figure


def _panel(
    axes: Axes, models: tuple[str, str], width: float, values: list[str], rows: pd.DataFrame, *,
    named: bool,
) -> None:  # fmt: skip
    letters = int(width * 72 / (_SMALL * 0.52))  # that fit, at about half a point size each
    first, second = short_name(models[0], letters), short_name(models[1], letters - 8)
    axes.text(
        0, 1 + 0.06 / (_ROW * len(values)), f"{first}\nagainst {second}", transform=axes.transAxes,
        fontsize=_SMALL, va="bottom", linespacing=1.15,
    )  # fmt: skip
    share_axis(axes, (0, 0.5, 1))
    for label, side in zip(axes.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set_horizontalalignment(side)  # so that neighbours do not touch
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.yaxis.set_major_locator(FixedLocator(range(len(values))))
    names = [short_name(value or NO_VALUE, _NAME_LENGTH) for value in values]
    axes.set_yticklabels(names if named else [], color=INK)
    axes.tick_params(axis="both", length=0, pad=4, labelsize=_SMALL)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.axvline(0.5, zorder=1, **HALF)
    axes.spines[["top", "right"]].set_visible(False)
    for y, value in enumerate(values):
        if value in rows.index:
            _dot(axes, y, rows.loc[value].to_dict())


def _dot(axes: Axes, y: int, row: dict[str, Any]) -> None:
    if pd.isna(row["win_rate_a"]):
        return
    form = _DOTS[firmness(row)]
    if pd.notna(row["ci_low"]) and pd.notna(row["ci_high"]):
        axes.plot(
            [row["ci_low"], row["ci_high"]], [y, y], color=form["color"], linewidth=1.4, zorder=2,
        )  # fmt: skip
    axes.plot([row["win_rate_a"]], [y], "o", markersize=4.6, zorder=3, **form)
