"""Figures of rows: names above, a mark with its interval below, one axis at the bottom."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from evalkit.report.figures.style import (
    CARD,
    GRID,
    INK,
    LEFT,
    MUTED,
    RIGHT,
    STRONG,
    WIDTH,
    head,
    short_name,
)

_TOP, _BOTTOM = 0.45, 0.5  # margins, inches
_ROW, _MANY_ROWS, _MANY = 0.52, 0.4, 10  # inches of a row; of more than 10 rows
_BESIDE = 16  # letters of a name that shares its line with another
_ON_CARD = {"facecolor": CARD, "edgecolor": "none", "pad": 0.8}  # hides the grid behind words


def rows_figure(n: int, title: str, stamp: str, right: float = RIGHT) -> tuple[Figure, Axes]:
    """A figure with `n` rows of equal height, the first on top, and the axis at the bottom."""
    row = _ROW if n <= _MANY else _MANY_ROWS
    height = _TOP + _BOTTOM + row * n
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes(
        (
            LEFT / WIDTH,
            _BOTTOM / height,
            (WIDTH - LEFT - right) / WIDTH,
            row * n / height,
        )
    )
    axes.set_ylim(n - 0.55, -0.55)
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="x", length=0, pad=5)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    head(figure, title, stamp)
    return figure, axes


def share_axis(axes: Axes, ticks: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1)) -> None:
    """Shares from 0 to 100% across."""
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))


def row_name(axes: Axes, y: int, name: str, share: str, *, bold: bool, right: bool) -> None:
    """A name above its row, with its share on the inner side."""
    short = short_name(name, _BESIDE) if share else short_name(name)
    words = (share, short) if right else (short, share)
    axes.text(
        1.0 if right else 0.0,
        y - 0.26,
        "\N{EN SPACE}".join(word for word in words if word),
        ha="right" if right else "left",
        va="center",
        fontweight="bold" if bold else "normal",
        transform=by_row(axes),
        bbox=_ON_CARD,
    )


def dots(
    axes: Axes, frame: pd.DataFrame, value: str, sides: Iterable[str], name: str = "model"
) -> None:
    """A dot and its interval per row, the name above it at the left, words at the right."""
    for y, (row, side) in enumerate(zip(frame.to_dict("records"), sides, strict=True)):
        missing = pd.isna(row[value])
        row_name(axes, y, row[name], "", bold=False, right=False)
        axes.text(
            1.0, y - 0.26, "" if missing else side, ha="right", va="center", color=MUTED,
            transform=by_row(axes), bbox=_ON_CARD,
        )  # fmt: skip
        if missing:
            axes.text(
                0.0, y + 0.1, "not estimated", va="center", color=MUTED,
                transform=by_row(axes),
            )  # fmt: skip
            continue
        axes.plot([row[value]], [y + 0.1], "o", color=STRONG, markersize=7, zorder=6)
        whisker(axes, y + 0.1, row["ci_low"], row["ci_high"])


def whisker(axes: Axes, y: float, low: float, high: float) -> None:
    """An interval across its row, on what lies below; nothing where a bound is missing."""
    if pd.isna(low) or pd.isna(high):
        return
    axes.plot(
        [low, low, low, high, high, high],
        [y - 0.09, y + 0.09, y, y, y - 0.09, y + 0.09],
        color=INK,
        linewidth=1.6,
        zorder=5,
        gid=f"interval-{y:.0f}",
        path_effects=[withStroke(linewidth=3.4, foreground=CARD)],
    )


def by_row(axes: Axes) -> object:
    """x in shares of the axes' width, y in rows."""
    return axes.get_yaxis_transform()
