"""The figures: where their bars, whiskers and dots stand, and that they are SVG and PDF."""

import re

import numpy as np
import pandas as pd
import pytest

from evalkit.report.figures import (
    MUTED,
    PALE,
    STRONG,
    mark,
    rating_figure,
    score_figure,
    short_name,
    sides_figure,
    slice_figure,
    speed_figure,
    win_rate_figure,
)
from evalkit.report.vector import pdf, svg


def win_rates() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "question_id": "quality",
            "model_a": ["x", "x", "y", "y"],
            "model_b": ["y", "z", "z", "w"],
            "win_rate_a": [0.7, 0.55, 0.2, np.nan],
            "ci_low": [0.6, 0.45, 0.1, np.nan],
            "ci_high": [0.8, 0.65, 0.3, np.nan],
            "n": [10, 20, 30, 0],
        }
    )


def test_bars_are_split_at_the_win_rate_and_whiskers_span_the_interval() -> None:
    axes = win_rate_figure(win_rates()).axes[0]
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    expected = [(0, 0.7), (0.7, 0.3), (0, 0.55), (0.55, 0.45), (0, 0.2), (0.2, 0.8)]
    assert np.array(bars) == pytest.approx(np.array(expected))
    whiskers = [
        line.get_xdata() for line in axes.lines if str(line.get_gid()).startswith("interval")
    ]
    assert [(min(xs), max(xs)) for xs in whiskers] == [(0.6, 0.8), (0.45, 0.65), (0.1, 0.3)]
    (half,) = [line for line in axes.lines if line.get_gid() == "half"]
    assert list(half.get_xdata()) == [0.5, 0.5]


def test_only_a_side_whose_interval_leaves_out_half_has_full_colour() -> None:
    from matplotlib.colors import to_hex

    bars = win_rate_figure(win_rates()).axes[0].patches
    colours = [to_hex(bar.get_facecolor()) for bar in bars]
    assert colours == [STRONG, PALE, PALE, PALE, PALE, STRONG]


def test_a_pair_that_was_not_estimated_has_words_and_no_bar() -> None:
    axes = win_rate_figure(win_rates().tail(1)).axes[0]
    assert not axes.patches
    assert "not estimated" in [text.get_text() for text in axes.texts]


def test_the_svg_draws_the_interval_where_its_axis_says() -> None:
    drawn = svg(win_rate_figure(win_rates().head(1)), "one", "words")
    half = path_xs(drawn, "one-half")[0]
    low, *_, high = path_xs(drawn, "one-interval-0")
    axis = [float(x) for x in re.findall(r'x="([\d.]+)"[^>]*>(?:0|100)%<', drawn)]
    assert half == pytest.approx((axis[0] + axis[1]) / 2, abs=0.01)
    position = (np.array([low, high]) - axis[0]) / (axis[1] - axis[0])
    assert position == pytest.approx(np.array([0.6, 0.8]), abs=0.001)


def path_xs(drawn: str, gid: str) -> list[float]:
    """The x coordinates of the first path in the group with this id."""
    path = re.search(rf'id="{gid}">\s*<path d="(.*?)"', drawn, flags=re.DOTALL)
    assert path is not None
    return [float(x) for x in re.findall(r"[ML] ([\d.]+)", path.group(1))]


def test_dots_stand_at_the_ratings_and_unrated_models_have_none() -> None:
    ratings = pd.DataFrame(
        {
            "question_id": "quality",
            "model": ["x", "y"],
            "rating": [0.4, np.nan],
            "ci_low": [0.1, np.nan],
            "ci_high": [0.7, np.nan],
            "rank_low": [1, np.nan],
            "rank_high": [2, np.nan],
        }
    )
    axes = rating_figure(ratings).axes[0]
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [0.4]
    words = [text.get_text() for text in axes.texts]
    assert "rank 1\N{EN DASH}2" in words
    assert "not estimated" in words


def test_speed_figure_puts_seconds_across_and_ratings_up() -> None:
    ratings = pd.DataFrame(
        {
            "question_id": "quality",
            "model": ["x", "y", "z"],
            "rating": [0.5, -0.5, 0.0],
            "ci_low": [0.3, -0.8, -0.1],
            "ci_high": [0.7, -0.2, 0.1],
        }
    )
    speed = pd.DataFrame(
        {
            "model": ["x", "y"],
            "seconds_median": [0.2, 0.02],
            "seconds_low": [0.1, 0.01],
            "seconds_high": [0.3, 0.03],
            "n": 9,
        }
    )
    axes = speed_figure(ratings, speed).axes[0]
    points = next(line for line in axes.lines if line.get_marker() == "o")
    assert list(points.get_xdata()) == [0.2, 0.02]
    assert list(points.get_ydata()) == [0.5, -0.5]
    assert axes.get_xscale() == "log"
    assert {text.get_text() for text in axes.texts} == {"x", "y"}


def near_models() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ratings and speeds of models that lie close together, with long names."""
    models = [f"a-model-with-a-long-name-{n}" for n in range(5)]
    ratings = pd.DataFrame({"question_id": "quality", "model": models, "rating": 0.02, "n": 9})
    ratings["rating"] += np.arange(5) * 0.01
    ratings = ratings.assign(ci_low=ratings["rating"] - 0.3, ci_high=ratings["rating"] + 0.3)
    speed = pd.DataFrame({"model": models, "seconds_median": 0.1, "n": 9})
    return ratings, speed.assign(seconds_low=0.09, seconds_high=0.11)


def test_names_of_models_that_lie_together_do_not_overlap() -> None:
    figure = speed_figure(*near_models())
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 5
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
        assert axes.figure.bbox.contains(*box.min)


def test_the_right_axis_is_the_elo_scale() -> None:
    figure = speed_figure(*near_models())
    figure.draw_without_rendering()
    axes = figure.axes[0]
    (elo,) = axes.child_axes
    expected = [1000 + 400 / np.log(10) * rating for rating in axes.get_ylim()]
    assert list(elo.get_ylim()) == pytest.approx(expected)


def sliced() -> pd.DataFrame:
    rows = [
        ("y", "Arts", 0.9, 0.8, 0.95, 0.001),  # shown over all values
        ("y", "Vehicles", 0.7, 0.55, 0.8, 0.3),  # shown by its own interval
        ("z", "Arts", 0.5, 0.3, 0.7, 1.0),
        ("z", "Vehicles", np.nan, np.nan, np.nan, np.nan),
    ]
    names = ["model_b", "value", "win_rate_a", "ci_low", "ci_high", "p_holm"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(question_id="quality", model_a="x", by="category")


def test_slices_have_a_panel_per_pair_and_a_dot_as_full_as_it_is_sure() -> None:
    panels = slice_figure(sliced()).axes
    assert [panel.texts[0].get_text() for panel in panels] == ["x\nagainst y", "x\nagainst z"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["Arts", "Vehicles"]
    found = [
        [
            (dot.get_xdata()[0], dot.get_ydata()[0], dot.get_fillstyle(), dot.get_color())
            for dot in dots
        ]
        for dots in ([line for line in panel.lines if line.get_marker() == "o"] for panel in panels)
    ]
    assert found == [
        [(0.9, 0, "full", STRONG), (0.7, 1, "left", STRONG)],
        [(0.5, 0, "none", MUTED)],
    ]
    bounds = [list(line.get_xdata()) for line in panels[0].lines if len(line.get_xdata()) == 2]
    assert [0.8, 0.95] in bounds
    assert [0.55, 0.8] in bounds


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("half", "ties and both bad count half"),
        ("drop", "ties and both bad left out"),
        ("both_bad_apart", "ties half, both bad left out"),
    ],
)
def test_the_axes_name_the_rule_for_ties_within_the_figure(rule: str, words: str) -> None:
    axes = win_rate_figure(win_rates().assign(ties_rule=rule)).axes[0]
    assert axes.get_xlabel() == f"win rate ({words})"
    figure = slice_figure(sliced().assign(ties_rule=rule))
    (label,) = [text for text in figure.texts if "win rate" in text.get_text()]
    assert label.get_text() == f"win rate of the model named first ({words})"
    box = label.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_sides_stand_at_the_left_share_of_each_question() -> None:
    sides = pd.DataFrame(
        {"question_id": ["quality"], "left_share": [0.53], "ci_low": [0.47], "ci_high": [0.59]}
    ).assign(n=1234)
    axes = sides_figure(sides).axes[0]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"] == [0.53]
    assert "53.0%, n = 1,234" in [text.get_text() for text in axes.texts]


def test_a_row_leads_to_its_pairs_under_a_name_that_is_read_out() -> None:
    figure = win_rate_figure(win_rates().head(2).replace("z", 'z & "<b>"'), linked=True)
    first, second = (
        "#pairs?question=quality&a=x&b=y",
        "#pairs?question=quality&a=x&b=z+%26+%22%3Cb%3E%22",
    )
    drawn = svg(figure, "one", "words", {first: "x and y", second: 'x and "z"'})
    assert '<a href="#pairs?question=quality&amp;a=x&amp;b=y" aria-label="x and y">' in drawn
    assert 'aria-label="x and &quot;z&quot;"' in drawn
    assert drawn.count("<a ") == 2
    assert 'role="group"' in drawn
    with pytest.raises(KeyError):
        svg(figure, "one", "words", {first: "x and y"})


def test_names_beside_each_other_do_not_overlap() -> None:
    names = {"x": "a-model-with-a-very-long-name", "y": "another-model-with-a-long-name"}
    figure = win_rate_figure(win_rates().head(1).replace(names))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 3  # n, and both names
    assert not boxes[1].overlaps(boxes[2])


def test_a_mark_stands_at_the_edge() -> None:
    figure = mark(win_rate_figure(win_rates()), "lock 0123456789ab")
    figure.draw_without_rendering()
    words = next(text for text in figure.texts if text.get_gid() == "mark")
    box = words.get_window_extent()
    assert not any(box.overlaps(text.get_window_extent()) for text in figure.axes[0].texts)
    assert "lock 0123456789ab" in svg(figure, "one", "words")


def test_the_same_figure_is_a_pdf_and_an_svg_with_text() -> None:
    scores = pd.DataFrame(
        {
            "metric": "clip_score",
            "weights": "a$b$<&>",
            "model": ["x"],
            "mean": [30.0],
            "ci_low": [29.0],
            "ci_high": [31.0],
        }
    )
    figure = score_figure(scores, "STAMP")
    assert pdf(figure).startswith(b"%PDF")
    drawn = svg(figure, "scores", 'says "this"')
    assert "mean score (a$b$&lt;&amp;&gt;)" in drawn
    assert "STAMP" in drawn
    assert 'aria-label="says &quot;this&quot;"' in drawn


def test_long_names_keep_their_beginning_and_end() -> None:
    assert short_name("sdxl-turbo") == "sdxl-turbo"
    assert short_name("stable-diffusion-3.5-large-turbo") == "stable-dif\u2026rge-turbo"
