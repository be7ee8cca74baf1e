"""The figures: a result table in, a matplotlib Figure out; the same for the page and for a paper.

Each takes `stamp`, words that stand on the figure (SIMULATED VOTES), empty for none.
"""

from evalkit.report.figures.metrics import metric_accuracy_figure, metric_bins_figure
from evalkit.report.figures.ratings import rank_range, rating_figure
from evalkit.report.figures.scores import score_figure
from evalkit.report.figures.sides import sides_figure
from evalkit.report.figures.slices import slice_figure
from evalkit.report.figures.speed import compiled_models, seconds_words, speed_figure
from evalkit.report.figures.style import (
    CARD,
    GRID,
    INK,
    MUTED,
    PALE,
    STAMP,
    STRONG,
    STYLE,
    WIDTH,
    mark,
    short_name,
)
from evalkit.report.figures.win_rates import pairs_link, win_rate_figure

__all__ = [
    "CARD",
    "GRID",
    "INK",
    "MUTED",
    "PALE",
    "STAMP",
    "STRONG",
    "STYLE",
    "WIDTH",
    "compiled_models",
    "mark",
    "metric_accuracy_figure",
    "metric_bins_figure",
    "pairs_link",
    "rank_range",
    "rating_figure",
    "score_figure",
    "seconds_words",
    "short_name",
    "sides_figure",
    "slice_figure",
    "speed_figure",
    "win_rate_figure",
]
