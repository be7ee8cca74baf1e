"""Margins, bins, differences and disagreements of metrics, by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evalkit import tables
from evalkit.analysis import (
    disagreements,
    margins,
    metric_agreement,
    metric_bins,
    metric_differences,
)
from evalkit.analysis.disagreements import slope
from evalkit.analysis.margins import leads
from evalkit.analysis.metric_agreement import bins_of
from evalkit.errors import EstimateError, TableError
from tests.metric_study import pairs_of, random_study, scores_of, votes_of

PAIRS = pairs_of(
    [
        ("q1", "p1", "x", "y"), ("q2", "p2", "x", "y"), ("q3", "p3", "x", "y"),
        ("r1", "p1", "x", "z"), ("r2", "p2", "x", "z"),
    ]
)  # fmt: skip
SCORES = scores_of(
    {
        "x/p1": 3, "y/p1": 1, "x/p2": 1, "y/p2": 2, "x/p3": 5, "y/p3": 4, "z/p1": 0, "z/p2": 0,
    }
)  # fmt: skip


def judgements_of(rows, metric="judge"):
    """Judgements from (question_id, pair_id, score), of the pairs above."""
    frame = pd.DataFrame(rows, columns=["question_id", "pair_id", "score"])
    frame = frame.merge(PAIRS.drop(columns=["image_a", "image_b"]), on="pair_id")
    return frame.assign(
        metric=metric, weights="w", a_when_first=frame["score"], a_when_second=frame["score"]
    )


def test_scores_and_judgements_become_one_table():
    judged = judgements_of([("quality", "q1", 0.75), ("alignment", "q1", 0.25)])
    found = margins(PAIRS, SCORES, judged)
    assert found["metric"].value_counts().to_dict() == {"m": 5, "judge": 2}
    assert set(found.loc[found["metric"] == "m", "question_id"]) == {""}
    row = found[(found["metric"] == "judge") & (found["question_id"] == "quality")].iloc[0]
    assert (row["score_a"], row["score_b"], row["seed"]) == (0.75, 0.25, 0)
    assert leads(found)[found["pair_id"] == "q2"].tolist() == [-1]


def test_a_pair_that_lacks_a_score_has_no_margin():
    found = margins(PAIRS, SCORES[SCORES["image_id"] != "x/p1"])
    assert sorted(found["pair_id"]) == ["q2", "q3", "r2"]


def test_metrics_and_weights_do_not_mix():
    other = scores_of({"x/p1": 10, "y/p1": 20}, weights="v")
    found = margins(PAIRS, pd.concat([SCORES, other]))
    assert found["weights"].value_counts().to_dict() == {"w": 5, "v": 1}
    assert found.loc[found["weights"] == "v", ["score_a", "score_b"]].to_numpy().tolist() == [
        [10, 20]
    ]


def test_pairs_are_turned_so_that_models_stand_by_name_with_their_scores():
    names = {"model_a": "model_b", "model_b": "model_a", "image_a": "image_b", "image_b": "image_a"}
    judged = judgements_of([("quality", "q1", 0.75)])
    other = judged.rename(columns=names).assign(score=0.25)
    key = ["metric", "pair_id"]
    one = margins(PAIRS, SCORES, judged).sort_values(key, ignore_index=True)
    two = margins(PAIRS.rename(columns=names), SCORES, other).sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(one, two)


def test_where_less_is_better_scores_stay_and_leads_turn():
    found = margins(PAIRS, SCORES, lower_is_better=["m"])
    assert not found["higher_is_better"].any()
    np.testing.assert_array_equal(leads(found), -leads(margins(PAIRS, SCORES)))


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(TableError, match="pair q1, metric m: a score that is not finite"):
        margins(PAIRS, SCORES.assign(score=[np.inf, *SCORES["score"][1:]]))


def test_nothing_scored_gives_an_empty_table():
    for found in (margins(PAIRS), margins(PAIRS, tables.SCORES.empty(), tables.JUDGEMENTS.empty())):
        assert found.empty
        assert metric_differences(found).empty
        assert metric_bins(VOTES, found).empty
        assert disagreements(VOTES, found).empty


VOTES = votes_of(
    [
        ("a1", "q1", "a"), ("a2", "q1", "a"), ("a1", "q2", "a"), ("a2", "q2", "b"),
        ("a1", "q3", "b"), ("a2", "q3", "b"), ("a3", "q3", "both_bad"), ("a1", "r1", "a"),
    ],
    PAIRS,
)  # fmt: skip


def test_bins_are_quantiles_that_occur_and_equal_sizes_share_one():
    # Quarters of 1..8 end at 2, 4, 6; what lies on an edge is below it.
    assert bins_of(np.array([8, 1, 2, 3, 4, 5, 6, 7.0]), 4).tolist() == [4, 1, 1, 2, 2, 3, 3, 4]
    # Edges 1, 1, 1, 9 as half of all are 1: two bins, not four.
    assert bins_of(np.array([1, 1, 1, 9.0]), 4).tolist() == [1, 1, 1, 2]
    assert bins_of(np.array([0, 0.0]), 4).tolist() == [1, 1]
    assert bins_of(np.empty(0), 4).tolist() == []


def test_each_bin_has_its_own_accuracy():
    found = metric_bins(VOTES, margins(PAIRS, SCORES), bins=2)
    # Leads of the decided votes: q1 2, 2 (right); q2 -1 (one right, one wrong); q3 1, 1 (wrong);
    # r1 3 (right). The median that occurs is 1.
    assert found["bin"].tolist() == [1, 2]
    assert found["accuracy"].tolist() == [1 / 4, 1]
    assert found["n"].tolist() == [4, 3]
    assert found[["difference_low", "difference_high"]].to_numpy().tolist() == [[1, 1], [2, 3]]


def test_one_bin_has_the_accuracy_of_all():
    comparisons, pairs, scores = random_study(7, models=3, prompts=10)
    found = margins(pairs, scores)
    (one,) = metric_bins(comparisons, found, bins=1).to_dict("records")
    all_votes = metric_agreement(comparisons, found).set_index("measure").loc["accuracy"]
    assert (one["accuracy"], one["ci_low"], one["ci_high"], one["n"]) == (
        all_votes["estimate"], all_votes["ci_low"], all_votes["ci_high"], all_votes["n"],
    )  # fmt: skip
    many = metric_bins(comparisons, found)
    assert many["n"].sum() == one["n"]
    assert (many["accuracy"] * many["n"]).sum() == pytest.approx(one["accuracy"] * one["n"])


def test_bins_under_one_are_refused():
    with pytest.raises(EstimateError, match="bins: found 0"):
        metric_bins(VOTES, margins(PAIRS, SCORES), bins=0)


def test_differences_are_paired_by_prompt_and_seed():
    row = metric_differences(margins(PAIRS, SCORES)).iloc[0]
    differences = [2, -1, 1]
    t = stats.ttest_1samp(differences, 0)
    low, high = t.confidence_interval(0.95)
    assert row["mean_difference"] == pytest.approx(2 / 3)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high))
    assert row["p_value"] == pytest.approx(t.pvalue)
    assert row["p_sign"] == pytest.approx(stats.binomtest(2, 3).pvalue)
    assert (row["n"], row["n_prompts"]) == (3, 3)


def test_differences_of_a_metric_are_one_family():
    found = metric_differences(margins(PAIRS, SCORES))
    # Pairs x-y and x-z; Holm doubles the smaller p-value, the larger is at least that.
    p = found["p_value"].to_numpy()
    expected = np.minimum(1, [max(p[0], 2 * p[1]), 2 * p[1]] if p[1] < p[0] else [2 * p[0], p[1]])
    np.testing.assert_allclose(found["p_holm"], expected)


def test_a_prompt_counts_once_however_many_seeds_it_has():
    again = PAIRS[PAIRS["pair_id"] == "q1"].assign(
        pair_id="q1-1", seed=1, image_a="x/p1/1", image_b="y/p1/1"
    )
    more = scores_of({"x/p1/1": 9, "y/p1/1": 1}).assign(seed=1)
    row = metric_differences(margins(pd.concat([PAIRS, again]), pd.concat([SCORES, more]))).iloc[0]
    assert row["mean_difference"] == pytest.approx(((2 + 8) / 2 - 1 + 1) / 3)
    assert (row["n"], row["n_prompts"]) == (4, 3)


def test_differences_take_out_what_prompts_share():
    """Prompts that differ by 100 times the gap: paired it is seen, between raw means it is not."""
    rng = np.random.default_rng(1)
    names = [f"p{i}" for i in range(20)]
    pairs = pairs_of([(f"q{name}", name, "x", "y") for name in names])
    ease = dict(zip(names, rng.normal(0, 100, 20), strict=True))
    values = {f"{m}/{p}": ease[p] + (m == "x") + rng.normal(0, 0.2) for p in names for m in "xy"}
    row = metric_differences(margins(pairs, scores_of(values))).iloc[0]
    assert 0.7 < row["ci_low"] < 1 < row["ci_high"] < 1.3
    raw = stats.ttest_ind(*([values[f"{m}/{p}"] for p in names] for m in "xy"))
    assert row["p_value"] < 1e-9 < 0.9 < raw.pvalue


@pytest.mark.parametrize(
    ("pairs", "scores", "said"),
    [
        (PAIRS.head(1), SCORES, "no interval: one prompt, at least two are needed"),
        (PAIRS.head(3), SCORES.assign(score=0.3), "no interval: no variation between prompts"),
    ],
)
def test_differences_that_show_no_variation_have_no_interval(pairs, scores, said):
    (row,) = metric_differences(margins(pairs, scores)).to_dict("records")
    assert row["method"].startswith(said)
    assert np.isnan([row["ci_low"], row["p_value"], row["p_holm"]]).all()
    assert not np.isnan(row["mean_difference"])


def test_differences_keep_the_unit_and_say_where_less_is_better():
    one = metric_differences(margins(PAIRS, SCORES))
    other = metric_differences(margins(PAIRS, SCORES, lower_is_better=["m"]))
    assert one["mean_difference"].tolist() == other["mean_difference"].tolist()
    assert other["method"].str.contains("less is better").all()
    assert not one["method"].str.contains("less is better").any()


def test_a_judge_has_differences_of_each_question():
    judged = judgements_of([("quality", "q1", 0.75), ("quality", "q2", 0.5), ("look", "q1", 0.1)])
    found = metric_differences(margins(PAIRS, None, judged)).set_index("question_id")
    assert found["mean_difference"].to_dict() == pytest.approx({"look": -0.8, "quality": 0.25})


def test_the_slope_is_that_of_a_logistic_fit():
    # Five wins at lead 1 and two losses: log-odds log(5 / 2) for a unit. At lead 2, half of that.
    for size in (1.0, 2.0):
        found, method = slope(size * np.array([1, 1, 1, 1, 1, -1, -1]))
        assert found == pytest.approx(np.log(5 / 2) / size)
        assert method.startswith("logistic fit")


def test_the_slope_has_the_most_likely_winners():
    lead = np.random.default_rng(4).normal(0.5, 1, 200)
    found, _ = slope(lead)
    grid = np.linspace(0.5, 1.5, 2001) * found
    likelihood = -np.logaddexp(0, -grid[:, None] * lead).sum(axis=1)
    assert grid[likelihood.argmax()] == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize(
    ("lead", "expected", "said"),
    [
        ([1.0, 2.0], 1 / np.sqrt(2.5), "not fitted: every winner has the better score"),
        ([-1.0, -1.0, 1.0], 1.0, "not fitted: people go against the metric"),
        ([0.0, 0.0], 0.0, "not fitted: no decided votes on pairs of different scores"),
        ([], 0.0, "not fitted: no decided votes"),
    ],
)
def test_a_slope_that_does_not_exist_is_not_fitted(lead, expected, said):
    found, method = slope(np.array(lead))
    assert found == pytest.approx(expected)
    assert method.startswith(said)


def test_disagreements_by_hand():
    found = disagreements(VOTES, margins(PAIRS, SCORES))
    # Leads of the winners: 2, 2, -1, 1, -1, -1, 3.
    per_unit, _ = slope(np.array([2, 2, -1, 1, -1, -1, 3.0]))
    expected = {"q1": 1 / (1 + np.exp(-2 * per_unit)), "q2": 1 / (1 + np.exp(per_unit))}
    expected["q3"] = 1 - expected["q2"]
    row = found.set_index("pair_id")
    assert row["share_a"].to_dict() == pytest.approx({"q1": 1, "q2": 0.5, "q3": 1 / 6})
    assert row["expected_a"].to_dict() == pytest.approx(expected)
    assert found["pair_id"].iloc[0] == "q3"
    assert found["place"].tolist() == [1, 2, 3]
    gap = (found["share_a"] - found["expected_a"]).abs()
    assert gap.is_monotonic_decreasing
    assert row.loc["q3", ["n", "score_a", "score_b"]].tolist() == [3, 5, 4]


def test_pairs_with_few_votes_and_further_places_are_left_out():
    found = margins(PAIRS, SCORES)
    assert len(disagreements(VOTES, found, least_votes=1)) == 4
    assert disagreements(VOTES, found, least_votes=3)["pair_id"].tolist() == ["q3"]
    assert disagreements(VOTES, found, most=1)["pair_id"].tolist() == ["q3"]
    for option in ({"most": 0}, {"least_votes": 0}):
        with pytest.raises(EstimateError, match="found 0; allowed is 1 or more"):
            disagreements(VOTES, found, **option)


def test_a_planted_contradiction_comes_first():
    comparisons, pairs, scores = random_study(3, models=3, prompts=20, votes=4, ties=0)
    strange = pairs["pair_id"].iloc[11]
    image = {"a": pairs["image_a"].iloc[11], "b": pairs["image_b"].iloc[11]}
    values = scores.set_index("image_id")["score"] + 0
    values[image["a"]], values[image["b"]] = 6, -6
    on = comparisons["pair_id"] == strange
    votes = comparisons.assign(winner=comparisons["winner"].mask(on, "model_b"))
    changed = scores.assign(score=scores["image_id"].map(values))
    row = disagreements(votes, margins(pairs, changed)).iloc[0]
    assert (row["pair_id"], row["share_a"]) == (strange, 0)
    assert row["expected_a"] > 0.9
