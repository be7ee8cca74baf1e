"""Result tables from comparisons: win rates, ratings, mean scores. Pure: tables in, tables out."""

from evalkit.analysis.agreement import agreement
from evalkit.analysis.disagreements import disagreements
from evalkit.analysis.elo import elo
from evalkit.analysis.margins import margins
from evalkit.analysis.metric_agreement import metric_agreement, metric_bins
from evalkit.analysis.metric_differences import metric_differences
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
    "disagreements",
    "elo",
    "is_compiled",
    "left_share",
    "margins",
    "mean_scores",
    "median_speeds",
    "metric_agreement",
    "metric_bins",
    "metric_differences",
    "ratings",
    "stability",
    "summary",
    "tie_rules",
    "win_rates",
]
