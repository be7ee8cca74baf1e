"""Preference against speed: ratings over seconds, both with their intervals."""

from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from evalkit.analysis.ratings import ELO_PER_LOG_ODDS, ELO_START
from evalkit.report.figures.style import (
    GRID,
    INK,
    MUTED,
    NAME_LENGTH,
    STRONG,
    STYLE,
    WIDTH,
    head,
    one,
    short_name,
)

_AWAY, _LETTER, _LINE = 9, 4.8, 11  # points: from a point to its name; of a letter, of a line
_SECONDS = {  # by source
    "generation": "seconds per image while the study's images were made",
    "bench": "seconds from prompt to pixels, one image at a time",
    "bench with random weights": "seconds for one image, timed with RANDOM WEIGHTS",
}


def speed_figure(ratings: pd.DataFrame, speed: pd.DataFrame, stamp: str = "") -> Figure:
    """Preference against speed: ratings of one question over median seconds, on a log scale.

    Takes `tables.RATINGS` and `tables.SPEED`, all of whose rows have one source; the axis says
    which. Models that lack either are left out. Whiskers are the interval of the rating (where
    there is none, the words beside the name say why) and the quartiles of the seconds. Beside the
    name also stands whether the model was timed compiled. The right axis is the Elo scale.
    """
    with rc_context(STYLE):
        both = ratings.merge(speed, on="model").dropna(subset=["rating", "seconds_median"])
        figure = Figure(figsize=(WIDTH, 3.5))
        axes = figure.add_axes((0.15, 0.17, 0.69, 0.71))
        head(figure, one(ratings["question_id"]), stamp)
        axes.set_xscale("log")
        axes.set_xlabel(f"{seconds_words(speed)}\n(median and quartiles; log scale)")
        axes.set_ylabel("Bradley-Terry rating (log-odds)")
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
        _elo_axis(axes)
        axes.spines["top"].set_visible(False)
        return figure


def seconds_words(speed: pd.DataFrame) -> str:
    """What the seconds of `tables.SPEED` are, by their one source; ValueError where they differ."""
    return _SECONDS[one(speed["source"])] if "source" in speed else _SECONDS["generation"]


def compiled_models(speed: pd.DataFrame) -> list[str]:
    """The models of `tables.SPEED` that were timed compiled, in order."""
    return list(speed.loc[speed["compiled"], "model"]) if "compiled" in speed else []


def _elo_axis(axes: Axes) -> None:
    """The same ratings on the scale of Elo, at the right."""
    elo = axes.secondary_yaxis(
        "right",
        functions=(
            lambda rating: ELO_START + ELO_PER_LOG_ODDS * rating,
            lambda elo: (elo - ELO_START) / ELO_PER_LOG_ODDS,
        ),
    )
    elo.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    elo.set_ylabel("the same on the Elo scale")


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
    """Names beside the points: right of those in the left half, left of the others.

    From the highest rating down, each as high as the names before it leave room.
    """
    low, high = axes.get_xlim()
    axes.get_ylim()  # settles the limits, on which places in points rest
    middle, dpi = (low * high) ** 0.5, axes.figure.dpi
    taken: list[tuple[float, float, float, float]] = []
    for row in both.sort_values("rating", ascending=False, kind="stable").itertuples():
        on_right = row.seconds_median <= middle
        said = [
            short_name(row.model),
            "compiled" if row.model in compiled else "",
            _why_no_interval(row),
        ]
        lines = "\n".join(filter(None, said)).split("\n")
        x, y = axes.transData.transform((row.seconds_median, row.rating)) * 72 / dpi
        start = x + _AWAY if on_right else x - _AWAY - _LETTER * max(map(len, lines))
        box = (start, start + _LETTER * max(map(len, lines)), y + 1, y + 1 + _LINE * len(lines))
        rise = _room(box, taken)
        taken.append((*box[:2], box[2] + rise, box[3] + rise))
        axes.annotate(
            "\n".join(lines),
            (row.seconds_median, row.rating),
            xytext=(_AWAY if on_right else -_AWAY, 1 + rise),
            textcoords="offset points",
            ha="left" if on_right else "right",
        )


def _room(
    box: tuple[float, float, float, float], taken: list[tuple[float, float, float, float]]
) -> float:
    """How far a box (left, right, bottom, top; points) must move to fit: down, or 0."""
    left, right, bottom, top = box
    rise = 0.0
    for other in sorted(taken, key=lambda other: -other[3]):
        beside = right <= other[0] or left >= other[1]
        if not beside and bottom + rise < other[3] and top + rise > other[2]:
            rise = other[2] - top
    return rise


def _why_no_interval(row: Any) -> str:
    """The clause of a rating's method that says why it has no interval; empty where it has one."""
    if pd.notna(row.ci_low) and pd.notna(row.ci_high):
        return ""
    clauses = [clause.strip() for clause in str(getattr(row, "method", "")).split(";")]
    why = next((clause for clause in clauses if clause.startswith("no ")), "no interval")
    return fill(why, NAME_LENGTH + 8)
