"""Result tables from comparisons: win rates, ratings, mean scores. Pure: tables in, tables out."""

from evalkit.analysis.ratings import ratings
from evalkit.analysis.scores import bench_speeds, is_compiled, mean_scores, median_speeds
from evalkit.analysis.summary import summary
from evalkit.analysis.win_rates import win_rates

__all__ = [
    "bench_speeds",
    "is_compiled",
    "mean_scores",
    "median_speeds",
    "ratings",
    "summary",
    "win_rates",
]
