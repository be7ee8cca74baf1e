"""Ratings as dots: one per model, with its interval and the ranks that are open."""

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from evalkit.report.figures.rows import dots, rows_figure
from evalkit.report.figures.style import HALF, STYLE, one


def rating_figure(ratings: pd.DataFrame, stamp: str = "") -> Figure:
    """One dot with interval and rank range per model of one question (`tables.RATINGS`)."""
    with rc_context(STYLE):
        figure, axes = rows_figure(len(ratings), one(ratings["question_id"]), stamp)
        axes.axvline(0, zorder=1, **HALF)
        axes.set_xlabel("Bradley-Terry rating (log-odds; 0 is the mean of the models)")
        ranks = [rank_range(row.rank_low, row.rank_high) for row in ratings.itertuples()]
        dots(axes, ratings, "rating", [rank and f"rank {rank}" for rank in ranks])
        axes.margins(x=0.08)
        return figure


def rank_range(low: float, high: float) -> str:
    """`2`, `1-3` or, where ranks could not be estimated, an empty string."""
    if pd.isna(low) or pd.isna(high):
        return ""
    return f"{low:.0f}" if low == high else f"{low:.0f}\N{EN DASH}{high:.0f}"
