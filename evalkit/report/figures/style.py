"""What all figures share: width, colours, fonts, title, and the small words at their edge."""

import pandas as pd
from matplotlib.figure import Figure

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
LEFT, RIGHT = 0.14, 0.3  # margins, inches; small words stand in the right one
HALF = {"color": INK, "linewidth": 1, "linestyle": (0, (4, 2))}  # the line of no preference
NAME_LENGTH = 20
_EDGE = 5.5  # points: small, and still read in print


def head(figure: Figure, title: str, stamp: str) -> None:
    """The title at the top left and the stamp at the top right."""
    y = 1 - 0.17 / figure.get_figheight()
    figure.text(LEFT / WIDTH, y, title, fontsize=10, fontweight="bold", va="center")
    if stamp:
        figure.text(
            1 - LEFT / WIDTH, y, stamp, color=STAMP, fontsize=8.5, fontweight="bold",
            ha="right", va="center",
        )  # fmt: skip


def mark(figure: Figure, words: str) -> Figure:
    """The figure with small words along its right edge: which study it is of."""
    figure.text(
        1 - 0.07 / figure.get_figwidth(), 0.1 / figure.get_figheight(), words, color=MUTED,
        fontsize=_EDGE, rotation=90, ha="center", va="bottom", gid="mark",
    )  # fmt: skip
    return figure


def short_name(name: str, length: int = NAME_LENGTH) -> str:
    """The name, its middle left out where it is longer than `length` letters."""
    if len(name) <= length:
        return name
    end = (length - 1) // 2
    return f"{name[: length - 1 - end]}\N{HORIZONTAL ELLIPSIS}{name[-end:]}"


def one(values: pd.Series) -> str:
    """The value that all cells share; ValueError where they differ."""
    (value,) = set(values)
    return str(value)
