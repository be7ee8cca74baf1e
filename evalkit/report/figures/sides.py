"""Position bias as dots: how often the left image was preferred, per question."""

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from evalkit.report.figures.rows import dots, rows_figure, share_axis
from evalkit.report.figures.style import HALF, STYLE


def sides_figure(sides: pd.DataFrame, stamp: str = "") -> Figure:
    """One dot with interval per question (`tables.LEFT_SHARE`), and a line at 50%."""
    with rc_context(STYLE):
        figure, axes = rows_figure(len(sides), "left image preferred", stamp)
        share_axis(axes)
        axes.axvline(0.5, zorder=1, **HALF)
        axes.set_xlabel("share of decided votes")
        said = [f"{row.left_share:.1%}, n = {row.n:,}" for row in sides.itertuples()]
        dots(axes, sides, "left_share", said, name="question_id")
        return figure
