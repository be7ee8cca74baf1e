"""The figures: a result table in, a matplotlib Figure out; the same for the page and for a paper.

Each takes `stamp`, words that stand on the figure (SIMULATED VOTES), empty for none.
"""

from collections.abc import Iterable
from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

WIDTH = 4.4  # inches; 422 px on the page, one column in a paper
INK, MUTED, GRID, CARD = "#1c2430", "#5b6672", "#dfe3e8", "#fffffe"
STRONG, PALE, STAMP = "#0072b2", "#c3d4e1", "#b3261e"  # blue and its tint: safe for colour-blind
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "axes.facecolor": CARD,
    "figure.facecolor": CARD,
}
_TOP, _BOTTOM, _LEFT, _RIGHT = 0.45, 0.5, 0.12, 0.12  # margins, inches
_NAME_LENGTH = 20
_SECONDS = {  # by source
    "generation": "seconds per image while the study's images were made",
    "bench": "seconds from prompt to pixels, one image at a time",
    "bench with random weights": "seconds for one image, timed with RANDOM WEIGHTS",
}
_ON_CARD = {"facecolor": CARD, "edgecolor": "none", "pad": 0.8}  # hides the grid behind words


def win_rate_figure(win_rates: pd.DataFrame, stamp: str = "") -> Figure:
    """One bar per pair of one question (`tables.WIN_RATES`), in the order of the table.

    The bar is split at `win_rate_a`: model_a's share from the left, model_b's from the right, with
    the interval across the split and a line at 50%. The preferred side is in full colour where the
    interval leaves out 50%; otherwise both are pale.
    """
    with rc_context(STYLE):
        title = _one(win_rates["question_id"])
        figure, axes = _rows_figure(len(win_rates), title, stamp, right=0.62)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        axes.axvline(0.5, color=INK, linewidth=1, linestyle=(0, (4, 2)), zorder=4, gid="half")
        axes.set_xlabel("share of comparisons won")
        for y, row in enumerate(win_rates.itertuples()):
            _win_rate_bar(axes, y, row)
        return figure


def rating_figure(ratings: pd.DataFrame, stamp: str = "") -> Figure:
    """One dot with interval and rank range per model of one question (`tables.RATINGS`)."""
    with rc_context(STYLE):
        figure, axes = _rows_figure(len(ratings), _one(ratings["question_id"]), stamp)
        axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
        axes.set_xlabel("Bradley-Terry rating (log-odds; 0 is the mean of the models)")
        ranks = [rank_range(row.rank_low, row.rank_high) for row in ratings.itertuples()]
        _dots(axes, ratings, "rating", [rank and f"rank {rank}" for rank in ranks])
        return figure


def score_figure(scores: pd.DataFrame, stamp: str = "") -> Figure:
    """One dot with interval per model: means of one metric and weights (`tables.MEAN_SCORES`)."""
    with rc_context(STYLE):
        figure, axes = _rows_figure(len(scores), _one(scores["metric"]), stamp)
        axes.set_xlabel(f"mean score ({_one(scores['weights'])})")
        _dots(axes, scores, "mean", [f"{value:.2f}" for value in scores["mean"]])
        return figure


def speed_figure(ratings: pd.DataFrame, speed: pd.DataFrame, stamp: str = "") -> Figure:
    """Preference against speed: ratings of one question over median seconds, on a log scale.

    Takes `tables.RATINGS` and `tables.SPEED`, all of whose rows have one source; the axis says
    which. Models that lack either are left out. Whiskers are the interval of the rating (where
    there is none, the words beside the name say why) and the quartiles of the seconds. Beside the
    name also stands whether the model was timed compiled.
    """
    with rc_context(STYLE):
        both = ratings.merge(speed, on="model").dropna(subset=["rating", "seconds_median"])
        figure = Figure(figsize=(WIDTH, 3.3))
        axes = figure.add_axes((0.16, 0.18, 0.81, 0.7))
        _title(figure, _one(ratings["question_id"]), stamp)
        axes.set_xscale("log")
        axes.set_xlabel(f"{seconds_words(speed)}\n(median and quartiles; log scale)")
        axes.set_ylabel("Bradley-Terry rating")
        axes.axhline(0, color=GRID, linewidth=1, zorder=0)
        axes.errorbar(
            both["seconds_median"],
            both["rating"],
            xerr=_arms(both, "seconds_median", "seconds_low", "seconds_high"),
            yerr=_arms(both, "rating", "ci_low", "ci_high"),
            fmt="o",
            markersize=7,
            color=STRONG,
            ecolor=INK,
            elinewidth=1.2,
            capsize=3,
        )
        _spread(axes, both)
        _label_points(axes, both, compiled_models(speed))
        axes.spines[["top", "right"]].set_visible(False)
        return figure


def seconds_words(speed: pd.DataFrame) -> str:
    """What the seconds of `tables.SPEED` are, by their one source; ValueError where they differ."""
    return _SECONDS[_one(speed["source"])] if "source" in speed else _SECONDS["generation"]


def compiled_models(speed: pd.DataFrame) -> list[str]:
    """The models of `tables.SPEED` that were timed compiled, in order."""
    return list(speed.loc[speed["compiled"], "model"]) if "compiled" in speed else []


def rank_range(low: float, high: float) -> str:
    """`2`, `1-3` or, where ranks could not be estimated, an empty string."""
    if pd.isna(low) or pd.isna(high):
        return ""
    return f"{low:.0f}" if low == high else f"{low:.0f}\N{EN DASH}{high:.0f}"


def short_name(name: str) -> str:
    """The name, its middle left out where it is longer than 20 letters."""
    if len(name) <= _NAME_LENGTH:
        return name
    return f"{name[:10]}\N{HORIZONTAL ELLIPSIS}{name[-9:]}"


def _rows_figure(n: int, title: str, stamp: str, right: float = _RIGHT) -> tuple[Figure, Axes]:
    """A figure with `n` rows of equal height, the first on top, and the axis at the bottom."""
    row = 0.52
    height = _TOP + _BOTTOM + row * n
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes(
        (
            _LEFT / WIDTH,
            _BOTTOM / height,
            (WIDTH - _LEFT - right) / WIDTH,
            row * n / height,
        )
    )
    axes.set_ylim(n - 0.55, -0.55)
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="x", length=0, pad=5)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    _title(figure, title, stamp)
    return figure, axes


def _title(figure: Figure, title: str, stamp: str) -> None:
    y = 1 - 0.17 / figure.get_figheight()
    figure.text(_LEFT / WIDTH, y, title, fontsize=10, fontweight="bold", va="center")
    if stamp:
        figure.text(
            1 - _LEFT / WIDTH, y, stamp, color=STAMP, fontsize=8.5, fontweight="bold",
            ha="right", va="center",
        )  # fmt: skip


def _win_rate_bar(axes: Axes, y: int, row: object) -> None:
    side = {"x": 1.02, "va": "center", "color": MUTED, "fontsize": 8, "transform": _by_row(axes)}
    unknown = "\nno interval" if pd.isna(row.ci_low) and pd.notna(row.win_rate_a) else ""
    axes.text(y=y + 0.1, s=f"n = {row.n}{unknown}", **side)
    if pd.isna(row.win_rate_a):
        _name(axes, y, row.model_a, "", bold=False, right=False)
        _name(axes, y, row.model_b, "", bold=False, right=True)
        axes.text(0.25, y + 0.1, "not estimated", va="center", ha="center", color=MUTED)
        return
    a_won, b_won = row.ci_low > 0.5, row.ci_high < 0.5  # NaN bounds: neither
    for model, share, won, left in [
        (row.model_a, row.win_rate_a, a_won, 0.0),
        (row.model_b, 1 - row.win_rate_a, b_won, row.win_rate_a),
    ]:
        colour = STRONG if won else PALE
        axes.barh(y + 0.1, share, left=left, height=0.34, color=colour, zorder=2, linewidth=0)
        _name(axes, y, model, f"{share:.0%}", bold=won, right=model == row.model_b)
    axes.plot([row.win_rate_a] * 2, [y - 0.07, y + 0.27], color=CARD, linewidth=2, zorder=3)
    _whisker(axes, y + 0.1, row.ci_low, row.ci_high)


def _name(axes: Axes, y: int, name: str, share: str, *, bold: bool, right: bool) -> None:
    words = (share, short_name(name)) if right else (short_name(name), share)
    axes.text(
        1.0 if right else 0.0,
        y - 0.26,
        "\N{EN SPACE}".join(word for word in words if word),
        ha="right" if right else "left",
        va="center",
        fontweight="bold" if bold else "normal",
        transform=_by_row(axes),
        bbox=_ON_CARD,
    )


def _dots(axes: Axes, frame: pd.DataFrame, value: str, sides: Iterable[str]) -> None:
    for y, (row, side) in enumerate(zip(frame.to_dict("records"), sides, strict=True)):
        missing = pd.isna(row[value])
        _name(axes, y, row["model"], "", bold=False, right=False)
        axes.text(
            1.0, y - 0.26, "" if missing else side, ha="right", va="center", color=MUTED,
            transform=_by_row(axes), bbox=_ON_CARD,
        )  # fmt: skip
        if missing:
            axes.text(
                0.0, y + 0.1, "not estimated", va="center", color=MUTED,
                transform=_by_row(axes),
            )  # fmt: skip
            continue
        axes.plot([row[value]], [y + 0.1], "o", color=STRONG, markersize=7, zorder=6)
        _whisker(axes, y + 0.1, row["ci_low"], row["ci_high"])
    axes.margins(x=0.08)


def _whisker(axes: Axes, y: float, low: float, high: float) -> None:
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


def _arms(frame: pd.DataFrame, value: str, low: str, high: str) -> list[list[float]]:
    return [(frame[value] - frame[low]).tolist(), (frame[high] - frame[value]).tolist()]


def _spread(axes: Axes, both: pd.DataFrame) -> None:
    """Round ticks, and room at the sides for the names."""
    if both.empty:
        axes.text(0.5, 0.5, "not estimated", ha="center", color=MUTED, transform=axes.transAxes)
        return
    low, high = both["seconds_median"].min(), both["seconds_median"].max()
    least, most = both["seconds_low"].min(), both["seconds_high"].max()
    axes.set_xlim(min(low / 2, least / 1.1), max(high * 2, most * 1.1))
    ticks = [m * 10.0**e for e in range(-5, 6) for m in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g} s"))


def _label_points(axes: Axes, both: pd.DataFrame, compiled: list[str]) -> None:
    """Names beside the points: right of those in the left half, left of the others."""
    low, high = axes.get_xlim()
    middle = (low * high) ** 0.5
    for row in both.itertuples():
        left_half = row.seconds_median <= middle
        said = [
            short_name(row.model),
            "compiled" if row.model in compiled else "",
            _why_no_interval(row),
        ]
        axes.annotate(
            "\n".join(filter(None, said)),
            (row.seconds_median, row.rating),
            xytext=(9 if left_half else -9, 6),
            textcoords="offset points",
            ha="left" if left_half else "right",
        )


def _why_no_interval(row: Any) -> str:
    """The clause of a rating's method that says why it has no interval; empty where it has one."""
    if pd.notna(row.ci_low) and pd.notna(row.ci_high):
        return ""
    clauses = [clause.strip() for clause in str(getattr(row, "method", "")).split(";")]
    why = next((clause for clause in clauses if clause.startswith("no ")), "no interval")
    return fill(why, _NAME_LENGTH + 8)


def _by_row(axes: Axes) -> object:
    """x in shares of the axes' width, y in rows."""
    return axes.get_yaxis_transform()


def _one(values: pd.Series) -> str:
    """The value that all cells share; ValueError where they differ."""
    (value,) = set(values)
    return str(value)
