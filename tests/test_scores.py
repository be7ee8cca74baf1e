"""Mean scores and median speeds, by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evalkit.analysis import mean_scores, median_speeds


def scores(values):
    rows = [("m", "w", "x", prompt, value) for prompt, value in values]
    return pd.DataFrame(rows, columns=["metric", "weights", "model", "prompt_id", "score"])


def test_rounding_is_no_variation():
    row = mean_scores(scores([("p1", 0.1 + 0.2), ("p2", 0.3)])).iloc[0]
    assert np.isnan(row["ci_low"])
    assert "no variation" in row["method"]


def test_the_level_is_that_of_the_interval():
    # Means 10 and 20 of two prompts: sem 5, t of one degree of freedom at .5 is 1.
    row = mean_scores(scores([("p1", 10.0), ("p2", 20.0)]), level=0.5).iloc[0]
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((10.0, 20.0))


def test_prompts_weigh_the_same_however_many_images_they_have():
    row = mean_scores(scores([("p1", 10.0), ("p1", 20.0), ("p2", 35.0)])).iloc[0]
    # Prompt means 15 and 35: mean 25, standard error 10, t(1) at .975 is 12.706.
    assert (row["mean"], row["n"], row["n_prompts"]) == (25, 3, 2)
    assert row["ci_high"] - 25 == pytest.approx(stats.t.ppf(0.975, 1) * 10)


@pytest.mark.parametrize("values", [[("p1", 1.0)], [("p1", 1.0), ("p2", 1.0)]])
def test_no_variation_gives_no_interval(values):
    row = mean_scores(scores(values)).iloc[0]
    assert row["mean"] == 1
    assert np.isnan(row["ci_low"])


def test_speeds_are_quartiles_of_the_timed_images():
    images = pd.DataFrame(
        {
            "model": ["x"] * 6 + ["y"],
            "status": ["ok"] * 5 + ["failed", "ok"],
            "seconds": [1.0, 2.0, 3.0, 4.0, 5.0, 99.0, np.nan],
        }
    )
    [row] = median_speeds(images).to_dict("records")
    assert row == {
        "model": "x", "seconds_median": 3, "seconds_low": 2, "seconds_high": 4, "n": 5,
        "source": "generation",
    }  # fmt: skip


def test_nothing_in_nothing_out():
    assert mean_scores(scores([])).empty
