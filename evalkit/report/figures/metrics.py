"""Figures of metrics against people: how many votes each predicts, and by which difference.

Each takes `stamp`, words that stand on the figure (SIMULATED VOTES), empty for none.
"""

from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from evalkit.report.figures.style import (
    CARD,
    GRID,
    HALF,
    INK,
    LEFT,
    MUTED,
    PALE,
    RIGHT,
    STRONG,
    STYLE,
    WIDTH,
    head,
    one,
    short_name,
)

_TOP, _BOTTOM, _ROW = 0.45, 0.78, 0.52  # inches
_HALF = {**HALF, "zorder": 1, "gid": "half"}
_BOUNDS = {  # measure: marker, how far it lies from the dot, in rows, and its words
    "floor": ("^", 0.2, "floor: names of models alone"),
    "ceiling": ("v", -0.2, "ceiling: other annotators"),
}
_ON_CARD = {"facecolor": CARD, "edgecolor": "none", "pad": 0.8}  # hides the grid behind words


def metric_accuracy_figure(agreement: pd.DataFrame, stamp: str = "") -> Figure:
    """One dot with interval per metric of one question (`tables.METRIC_AGREEMENT`).

    The dot is the metric's accuracy, the most accurate on top; a pale band reaches from the floor
    (triangle below) to the ceiling (triangle above), each of the very votes of the dot. A line
    stands at 50%. What was not estimated has words in place of a dot.
    """
    with rc_context(STYLE):
        title = one(agreement["question_id"])
        rows = _by_metric(agreement)
        height = _TOP + _BOTTOM + _ROW * len(rows)
        figure = Figure(figsize=(WIDTH, height))
        width = 1 - (LEFT + RIGHT) / WIDTH
        axes = figure.add_axes((LEFT / WIDTH, _BOTTOM / height, width, _ROW * len(rows) / height))
        axes.set_ylim(len(rows) - 0.5, -0.55)
        axes.yaxis.set_major_locator(NullLocator())
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="x", length=0, pad=5)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.axvline(0.5, **_HALF)
        for y, row in enumerate(rows):
            _accuracy_row(axes, y, row)
        axes.use_sticky_edges = False  # the band's end would be the figure's
        axes.margins(x=0.08)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # whole percents
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        axes.set_xlabel("share of decided votes predicted")
        _bounds_legend(figure, height)
        head(figure, title, stamp)
        return figure


def metric_bins_figure(bins: pd.DataFrame, stamp: str = "") -> Figure:
    """Accuracy by size of the difference of scores (`tables.METRIC_BINS`), the smallest left.

    Of one question, metric and weights. Each bin has a dot with its interval, its range of
    differences, in the metric's own unit, and its votes below; a line stands at 50%.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.9))
        axes = figure.add_axes((0.13, 0.27, 0.87 - RIGHT / WIDTH, 0.59))
        title = f"{one(bins['question_id'])}: {short_name(one(bins['metric']))}"
        head(figure, title, stamp)
        axes.axhline(0.5, **_HALF)
        places = range(len(bins))
        for x, row in zip(places, bins.to_dict("records"), strict=True):
            axes.plot([x], [row["accuracy"]], "o", color=STRONG, markersize=7, zorder=6)
            if pd.notna(row["ci_low"]):
                _whisker(axes, [row["accuracy"], x], row, along="y")
        said = [
            f"{row.difference_low:.2g}\N{EN DASH}{row.difference_high:.2g}\nn = {row.n:,}"
            for row in bins.itertuples()
        ]
        axes.set_xlim(-0.5, len(bins) - 0.5)
        axes.xaxis.set_major_locator(FixedLocator(list(places)))
        axes.set_xticklabels(said)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        axes.margins(y=0.08)
        axes.tick_params(length=0, pad=5)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        weights = short_name(one(bins["weights"]))
        axes.set_xlabel(f"difference of the two scores ({weights})")
        axes.set_ylabel("decided votes predicted")
        return figure


def _by_metric(agreement: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of accuracy, each with its floor and ceiling; the most accurate first."""
    bounds = agreement.pivot(
        index=["metric", "weights"], columns="measure", values="estimate"
    ).reindex(columns=list(_BOUNDS))
    dots = agreement[agreement["measure"] == "accuracy"]
    dots = dots.sort_values("estimate", ascending=False, kind="stable")
    return dots.merge(bounds.reset_index(), on=["metric", "weights"]).to_dict("records")


def _accuracy_row(axes: Axes, y: int, row: dict[str, Any]) -> None:
    middle, across = y + 0.14, axes.get_yaxis_transform()
    name = f"{short_name(row['metric'])} ({short_name(row['weights'])})"
    words = {"va": "center", "transform": across, "bbox": _ON_CARD}
    axes.text(0.0, y - 0.3, name, **words)
    if pd.isna(row["estimate"]):
        axes.text(0.0, middle, "not estimated", va="center", color=MUTED, transform=across)
        return
    said = f"{row['estimate']:.1%}, n = {row['n']:,}"
    axes.text(1.0, y - 0.3, said, ha="right", color=MUTED, **words)
    low, high = row["floor"], row["ceiling"]
    if pd.notna(low) and pd.notna(high):
        axes.barh(middle, high - low, left=low, height=0.16, color=PALE, zorder=2, linewidth=0)
    for measure, (marker, away, _) in _BOUNDS.items():
        if pd.notna(row[measure]):
            axes.plot(
                [row[measure]], [middle + away], marker, color=MUTED, markersize=5, zorder=4,
                gid=f"{measure}-{y}",
            )  # fmt: skip
    axes.plot([row["estimate"]], [middle], "o", color=STRONG, markersize=7, zorder=6)
    if pd.notna(row["ci_low"]):
        _whisker(axes, [row["estimate"], middle], row, along="x")


def _whisker(axes: Axes, point: list[float], row: dict[str, Any], along: str) -> None:
    """The interval of a row, across its dot; `point` is its estimate and its place."""
    estimate, place = point
    arms = [[estimate - row["ci_low"]], [row["ci_high"] - estimate]]
    at = (estimate, place) if along == "x" else (place, estimate)
    axes.errorbar(
        *([value] for value in at), **{f"{along}err": arms}, fmt="none", ecolor=INK,
        elinewidth=1.6, capsize=3, capthick=1.6, zorder=5,
    )  # fmt: skip


def _bounds_legend(figure: Figure, height: float) -> None:
    marks = [
        Line2D([], [], marker=marker, color=MUTED, linestyle="none", markersize=5, label=words)
        for marker, _, words in _BOUNDS.values()
    ]
    figure.legend(
        handles=marks, loc="lower left", ncols=2, frameon=False, labelcolor=MUTED, fontsize=8,
        bbox_to_anchor=(LEFT / WIDTH, 0.02 / height), borderpad=0, borderaxespad=0.2,
        handletextpad=0.2, columnspacing=1.4,
    )  # fmt: skip
