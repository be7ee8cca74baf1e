"""Result tables from comparisons: win rates, ratings, mean scores. Pure: tables in, tables out."""

from evalkit.analysis.agreement import agreement
from evalkit.analysis.elo import elo
from evalkit.analysis.ratings import ratings
from evalkit.analysis.scores import bench_speeds, is_compiled, mean_scores, median_speeds
from evalkit.analysis.sequential import anytime, anytime_table
from evalkit.analysis.sides import left_share
from evalkit.analysis.stability import stability
from evalkit.analysis.summary import summary
from evalkit.analysis.tie_rules import tie_rules
from evalkit.analysis.win_rates import win_rates

__all__ = [
    "agreement",
    "anytime",
    "anytime_table",
    "bench_speeds",
    "elo",
    "is_compiled",
    "left_share",
    "mean_scores",
    "median_speeds",
    "ratings",
    "stability",
    "summary",
    "tie_rules",
    "win_rates",
]
