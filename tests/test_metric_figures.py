"""Figures of metrics against people: where dots, whiskers and bounds stand, and their words."""

import numpy as np
import pandas as pd
import pytest

from evalkit.report.figures import STRONG, metric_accuracy_figure, metric_bins_figure
from evalkit.report.vector import pdf, svg

ESTIMATES = {
    "worse": {"accuracy": 0.55, "ceiling": 0.8, "floor": 0.6},
    "better": {"accuracy": 0.7, "ceiling": 0.8, "floor": 0.6},
    "none": {"accuracy": np.nan, "ceiling": np.nan, "floor": np.nan},
}


def agreement():
    rows = [
        {"metric": metric, "measure": measure, "estimate": value, "ci_low": value - 0.05,
         "ci_high": value + 0.04, "n": 1234}
        for metric, values in ESTIMATES.items()
        for measure, value in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(question_id="quality", weights="w", method="words")


def bins():
    return pd.DataFrame(
        {
            "question_id": "quality",
            "metric": "clip_score",
            "weights": "w",
            "bin": [1, 2, 3],
            "difference_low": [0.001, 0.5, 2],
            "difference_high": [0.4, 1.25, 40],
            "accuracy": [0.5, 0.6, 0.9],
            "ci_low": [0.4, 0.5, np.nan],
            "ci_high": [0.6, 0.7, np.nan],
            "n": [10, 2000, 30],
        }
    )


def dots(axes):
    return [
        line.get_xydata()[0].tolist()
        for line in axes.lines
        if line.get_marker() == "o" and line.get_color() == STRONG
    ]


def whiskers(axes):
    return [
        np.array(bars.get_segments()[0]) for bars in axes.collections if len(bars.get_segments())
    ]


def words(figure):
    return [text.get_text() for text in (*figure.texts, *figure.axes[0].texts)]


def test_dots_stand_at_the_accuracies_the_best_on_top():
    axes = metric_accuracy_figure(agreement()).axes[0]
    (best, other) = dots(axes)
    assert (best[0], other[0]) == (0.7, 0.55)
    assert best[1] < other[1]  # the axis of rows runs downwards
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    spans = [(low[0], high[0]) for low, high in whiskers(axes)]
    assert np.array(spans) == pytest.approx(np.array([(0.65, 0.74), (0.5, 0.59)]))


def test_each_dot_has_its_floor_and_ceiling_and_the_band_between_within_the_figure():
    axes = metric_accuracy_figure(agreement()).axes[0]
    marks = {line.get_gid(): line.get_xdata()[0] for line in axes.lines}
    assert [marks[f"{name}-{y}"] for name in ("floor", "ceiling") for y in (0, 1)] == [
        0.6, 0.6, 0.8, 0.8,
    ]  # fmt: skip
    bands = [(band.get_x(), band.get_width()) for band in axes.patches]
    assert np.array(bands) == pytest.approx(np.array([(0.6, 0.2)] * 2))
    low, high = axes.get_xlim()
    assert low < 0.5
    assert high > 0.8


def test_what_was_not_estimated_has_words_and_the_votes_are_told():
    said = words(metric_accuracy_figure(agreement(), "SIMULATED VOTES"))
    assert said.count("not estimated") == 1
    assert "70.0%, n = 1,234" in said
    assert {"quality", "SIMULATED VOTES", "better (w)"} <= set(said)


def test_bins_stand_in_order_with_their_ranges_and_intervals():
    figure = metric_bins_figure(bins(), "SIMULATED VOTES")
    axes = figure.axes[0]
    assert dots(axes) == [[0, 0.5], [1, 0.6], [2, 0.9]]
    spans = [(low[1], high[1]) for low, high in whiskers(axes)]
    assert np.array(spans) == pytest.approx(np.array([(0.4, 0.6), (0.5, 0.7)]))
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[1] == "0.5\N{EN DASH}1.2\nn = 2,000"
    assert {"quality: clip_score", "SIMULATED VOTES"} <= set(words(figure))


def test_a_figure_of_two_questions_or_two_metrics_is_refused():
    two = agreement()
    two.loc[0, "question_id"] = "alignment"
    with pytest.raises(ValueError, match="too many values"):
        metric_accuracy_figure(two)
    with pytest.raises(ValueError, match="too many values"):
        metric_bins_figure(bins().assign(metric=["one", "two", "two"]))


@pytest.mark.parametrize(
    "figure", [lambda: metric_accuracy_figure(agreement()), lambda: metric_bins_figure(bins())]
)
def test_they_are_svg_and_pdf_like_the_others(figure):
    assert "<svg" in svg(figure(), "one", "words")
    assert pdf(figure()).startswith(b"%PDF")
