"""The left share: counted by hand, found in simulated votes, unknown sides kept apart."""

import numpy as np
import pandas as pd
import pytest

from evalkit import tables
from evalkit.analysis.exclusions import apply, with_and_without
from evalkit.analysis.intervals import two_way_share
from evalkit.analysis.sides import left_share
from evalkit.errors import EstimateError
from evalkit.simulate import Population, expected_share, simulate_comparisons

COLUMNS = ["annotator_id", "prompt_id", "question_id", "model_a", "model_b", "winner", "left_model"]
HAND = [
    ("a1", "p1", "q", "x", "y", "model_a", "x"),  # left
    ("a2", "p1", "q", "x", "y", "model_b", "x"),  # right
    ("a1", "p2", "q", "y", "x", "model_a", "y"),  # left
    ("a2", "p2", "q", "y", "x", "model_b", "x"),  # left
    ("a1", "p3", "q", "x", "y", "tie", "x"),
    ("a2", "p3", "q", "x", "y", "both_bad", "y"),
    ("a2", "p4", "q", "x", "y", "model_a", ""),  # nobody knows
]


def frame(rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def test_counts_and_shares_by_hand():
    [row] = left_share(frame(HAND)).to_dict("records")
    assert [row[name] for name in ("n_left", "n_right", "ties", "both_bad", "n_unknown")] == [
        3, 1, 1, 1, 1,
    ]  # fmt: skip
    assert (row["left_share"], row["n"]) == (0.75, 4)
    assert (row["half_share"], row["n_half"]) == (4 / 6, 6)
    points = np.array([1.0, 0, 1, 1])
    expected = two_way_share(points, np.array([1, 1, 2, 2]), np.array([1, 2, 1, 2]))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected.ci_low, expected.ci_high))


def simulated(left_bias):
    return simulate_comparisons(
        {"x": 0.4, "y": 0.0, "z": -0.2}, n_prompts=200, votes_per_prompt=4, n_annotators=25,
        left_bias=left_bias, tie_weight=0.3, questions=("quality", "alignment"), seed=2,
    )  # fmt: skip


def test_a_bias_to_the_left_is_found_and_its_absence_too():
    biased, fair = left_share(simulated(0.4)), left_share(simulated(0.0))
    assert biased["question_id"].tolist() == ["alignment", "quality"]
    assert (biased["ci_low"] > 0.5).all()
    assert (biased["p_holm"] < 0.001).all()
    assert ((fair["ci_low"] < 0.5) & (fair["ci_high"] > 0.5)).all()
    # Equal models, decided votes: the bias is the log-odds of left.
    equal = simulate_comparisons(
        {"x": 0.0, "y": 0.0}, n_prompts=1000, votes_per_prompt=4, n_annotators=25, left_bias=0.4,
        seed=3,
    )  # fmt: skip
    truth = 1 / (1 + np.exp(-0.4))
    [row] = left_share(equal).to_dict("records")
    assert row["ci_low"] < truth < row["ci_high"]
    assert expected_share(0.0, Population(left_bias=0.4)) == pytest.approx(0.5)  # favours no model


def test_turning_every_trial_around_mirrors_the_share():
    votes = simulated(0.3)
    other = votes["model_a"].where(votes["left_model"] == votes["model_b"], votes["model_b"])
    one, mirrored = left_share(votes), left_share(votes.assign(left_model=other))
    assert mirrored["left_share"].to_numpy() == pytest.approx(1 - one["left_share"].to_numpy())
    assert mirrored["ci_low"].to_numpy() == pytest.approx(1 - one["ci_high"].to_numpy())
    assert mirrored["half_high"].to_numpy() == pytest.approx(1 - one["half_low"].to_numpy())


def test_pools_of_annotators_stand_apart():
    votes = simulated(0.3)
    pool = np.where(votes["annotator_id"] < "simulated-0010", "lab", "online")
    table = left_share(votes.assign(pool=pool), by="pool")
    assert table["value"].tolist() == ["lab", "online"] * 2
    alone = left_share(votes[pool == "lab"])
    of_lab = table[table["value"] == "lab"]
    assert of_lab["left_share"].tolist() == alone["left_share"].tolist()
    assert of_lab["n_annotators"].tolist() == [9, 9]
    with pytest.raises(EstimateError, match="by: no column colour"):
        left_share(votes, by="colour")


def test_unknown_sides_are_said():
    [row] = left_share(frame(HAND).drop(columns="left_model")).to_dict("records")
    assert np.isnan([row["left_share"], row["ci_low"], row["half_share"]]).all()
    assert (row["n"], row["n_unknown"]) == (0, 7)
    assert row["method"].startswith("not estimated: no side is known")
    assert left_share(frame([])).empty


def test_it_stands_with_and_without_exclusions():
    votes = simulated(0.3)
    held = pd.DataFrame({"annotator_id": ["simulated-0001"], "rule": ["blocked"]})
    both = with_and_without(left_share, apply(votes, held))
    assert both["measure"].tolist() == ["left_share"] * 2
    assert both["estimate_all"].tolist() == left_share(votes)["left_share"].tolist()
    assert (both["n"] < both["n_all"]).all()
    assert not set(tables.LEFT_SHARE.key) - {"question_id", "value"}
