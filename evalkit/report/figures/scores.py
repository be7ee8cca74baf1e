"""Mean metric scores as dots: one per model, with its interval."""

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from evalkit.report.figures.rows import dots, rows_figure
from evalkit.report.figures.style import STYLE, one


def score_figure(scores: pd.DataFrame, stamp: str = "") -> Figure:
    """One dot with interval per model: means of one metric and weights (`tables.MEAN_SCORES`)."""
    with rc_context(STYLE):
        figure, axes = rows_figure(len(scores), one(scores["metric"]), stamp)
        axes.set_xlabel(f"mean score ({one(scores['weights'])})")
        dots(axes, scores, "mean", [f"{value:.2f}" for value in scores["mean"]])
        axes.margins(x=0.08)
        return figure
