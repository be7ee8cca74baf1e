"""Metrics against people: by hand, beside other implementations, and what must not matter."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import evalkit
from evalkit import tables
from evalkit.analysis import margins, metric_agreement
from evalkit.analysis.intervals import two_way_share
from evalkit.analysis.metric_accuracy import accuracy, auc, placements
from evalkit.analysis.metric_ranks import rank_correlation, tau_b
from evalkit.analysis.metric_votes import metric_votes
from evalkit.analysis.ratings import ratings
from evalkit.errors import EstimateError, TableError
from tests.metric_study import judged, pairs_of, random_study, scores_of, votes_of

PAIRS = pairs_of([("q1", "p1", "x", "y"), ("q2", "p2", "x", "y"), ("q3", "p3", "x", "y")])
SCORES = scores_of({"x/p1": 3, "y/p1": 1, "x/p2": 1, "y/p2": 2, "x/p3": 5, "y/p3": 5})
VOTES = votes_of(
    [
        ("a1", "q1", "a"), ("a2", "q1", "a"), ("a3", "q1", "b"), ("a1", "q2", "b"),
        ("a2", "q2", "a"), ("a3", "q2", "tie"), ("a1", "q3", "a"), ("a2", "q3", "b"),
    ],
    PAIRS,
)  # fmt: skip


def by_measure(table):
    return table.set_index("measure")


@pytest.fixture(scope="module")
def small():
    return by_measure(metric_agreement(VOTES, margins(PAIRS, SCORES)))


def test_every_estimate_by_hand(small):
    # Predicted of seven decided votes: right 3, wrong 2, equal scores 2.
    assert small.loc["accuracy", "estimate"] == pytest.approx(4 / 7)
    # Sums of two leads over 0 and half of those at 0, by lead: 6.5, 6.5, 1, 5.5, 2.5, 4, 4.
    assert small.loc["auc", "estimate"] == pytest.approx(30 / 49)
    # q1: two of three face a split, the third two others; on q2 and q3 two contradict each other.
    assert small.loc["ceiling", "estimate"] == pytest.approx((0.5 + 0.5) / 7)
    # Without p1 nobody is ahead (three halves); without p2, or p3, x is: one of two votes each.
    assert small.loc["floor", "estimate"] == pytest.approx((1.5 + 1 + 1) / 7)
    # x: rated higher (4.5 of 8 points) and means 3 against 8/3.
    assert small.loc["rank_correlation", "estimate"] == 1


def test_counts_are_of_the_votes_that_each_measure_uses(small):
    assert small["n"].to_dict() == {
        "accuracy": 7, "auc": 7, "ceiling": 7, "floor": 7, "rank_correlation": 2,
    }  # fmt: skip
    assert (small["n_prompts"] == 3).all()
    assert small.loc["accuracy", "n_annotators"] == 3


def test_the_accuracy_has_the_interval_of_a_win_rate(small):
    points = np.array([1, 1, 0, 1, 0, 0.5, 0.5])
    row = small.loc["accuracy"]
    expected = two_way_share(
        points, np.array([0, 0, 0, 1, 1, 2, 2]), np.array([0, 1, 2, 0, 1, 0, 1])
    )
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected.ci_low, expected.ci_high))


@pytest.fixture(scope="module")
def study():
    return random_study(4)


def test_the_auc_is_that_of_mann_and_whitney_on_votes_entered_both_ways(study):
    comparisons, pairs, scores = study
    (found,) = metric_votes(comparisons, margins(pairs, scores))
    decided = found.decided
    won = decided.votes.points == 1
    both = np.concatenate([decided.lead, -decided.lead])
    label = np.concatenate([won, ~won])
    u = stats.mannwhitneyu(both[label], both[~label]).statistic
    expected = u / (label.sum() * (~label).sum())
    assert auc(decided).estimate == pytest.approx(expected, abs=1e-12)


def test_the_auc_is_wilcoxons_signed_ranks_less_the_votes_with_themselves():
    lead = np.random.default_rng(2).normal(0.4, 1, 40)
    signed = stats.wilcoxon(lead, alternative="greater").statistic  # i <= j; twice, less i = j
    expected = (2 * signed - (lead > 0).sum()) / 40**2
    assert placements(lead).mean() == pytest.approx(expected, abs=1e-12)


def test_a_vote_moves_the_auc_by_twice_its_placement():
    """The derivative by a vote's weight, by differences, is 2 (v - AUC) / n."""
    lead = np.round(np.random.default_rng(3).normal(0.3, 1, 25), 1)  # some sums are 0
    sums = lead[:, None] + lead[None, :]
    wins = (np.sign(sums) + 1) / 2

    def area(weights):
        return weights @ wins @ weights / weights.sum() ** 2

    more = [area(np.ones(25) + 1e-6 * np.eye(25)[i]) for i in range(25)]
    slope = (np.array(more) - area(np.ones(25))) / 1e-6
    placed = placements(lead)
    np.testing.assert_allclose(slope, 2 * (placed - placed.mean()) / 25, atol=1e-6)


def test_a_metric_whose_leads_are_all_as_large_has_its_accuracy_for_auc():
    rng = np.random.default_rng(1)
    won = rng.random(60) < 0.7
    found = judged(np.ones(60), won, np.arange(60) // 3, rng.integers(8, size=60))
    one, other = accuracy(found), auc(found)
    assert (other.estimate, other.ci_low, other.ci_high) == pytest.approx(
        (one.estimate, one.ci_low, one.ci_high)
    )


def brute(comparisons, own, group):
    """Ceiling or floor, vote by vote: others of the group without those of its own kind."""
    decided = comparisons[comparisons["winner"].isin(["model_a", "model_b"])]
    points = []
    for _, vote in decided.iterrows():
        alike = (decided[group] == vote[group]).all(axis=1)
        others = decided[alike & (decided[own] != vote[own])]["winner"]
        if len(others):
            share = (others == vote["winner"]).mean()
            points.append(0.5 if share == 0.5 else float(share > 0.5))
    return np.mean(points), len(points)


def test_ceiling_and_floor_agree_with_a_count_vote_by_vote():
    comparisons, pairs, scores = random_study(9, models=3, prompts=8)
    found = by_measure(metric_agreement(comparisons, margins(pairs, scores)))
    for measure, own, group in (
        ("ceiling", "annotator_id", ["pair_id"]),
        ("floor", "prompt_id", ["model_a", "model_b"]),
    ):
        row = found.loc[measure]
        assert (row["estimate"], row["n"]) == pytest.approx(brute(comparisons, own, group))


def test_the_floor_of_an_even_pair_is_tipped_by_the_prompt_left_out():
    """Two prompts that contradict each other: without either, the other favours the wrong model."""
    rows = [("a1", "q1", "a"), ("a2", "q1", "a"), ("a1", "q2", "b"), ("a2", "q2", "b")]
    found = metric_agreement(votes_of(rows, PAIRS), margins(PAIRS, SCORES))
    assert by_measure(found).loc["floor", "estimate"] == 0


def test_tau_is_scipys():
    rng = np.random.default_rng(6)
    one, other = rng.integers(4, size=(50, 6)), rng.integers(5, size=(50, 6))
    expected = [stats.kendalltau(a, b).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(tau_b(one.astype(float), other.astype(float)), expected)


def test_the_rank_correlation_is_that_of_mean_scores_and_ratings(study):
    comparisons, pairs, scores = study
    row = by_measure(metric_agreement(comparisons, margins(pairs, scores))).loc["rank_correlation"]
    rated = ratings(comparisons).set_index("model")["rating"]
    means = scores.groupby("model")["score"].mean().loc[rated.index]
    assert row["estimate"] == pytest.approx(stats.kendalltau(rated, means).statistic)
    assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
    assert (row["n"], row["seed"]) == (6, 0)


def test_other_seeds_draw_other_bootstraps_and_the_same_seed_the_same(study):
    comparisons, pairs, scores = random_study(5, models=8, prompts=12, slope=0.3)
    (found,) = metric_votes(comparisons, margins(pairs, scores))
    one, again, other = (rank_correlation(found, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert (one.ci_low, one.ci_high) != (other.ci_low, other.ci_high)


@pytest.mark.parametrize(
    ("change", "measure", "said"),
    [
        (lambda votes: votes.assign(annotator_id="a1"), "accuracy", "no interval: one annotator"),
        (lambda votes: votes.assign(annotator_id="a1"), "auc", "no interval: one annotator"),
        (
            lambda votes: votes.assign(annotator_id="a1"),
            "ceiling",
            "not estimated: no two annotators decided on the same pair",
        ),
        (lambda votes: votes.head(3), "accuracy", "no interval: one prompt"),
        (lambda votes: votes.head(3), "floor", "not estimated: no two prompts"),
        (lambda votes: votes.head(1), "auc", "no interval: a single vote"),
        (lambda votes: votes.head(1), "rank_correlation", "not estimated: no finite rating"),
        (lambda votes: votes.assign(winner="tie"), "accuracy", "not estimated: no decided votes"),
        (lambda votes: votes.assign(winner="tie"), "auc", "not estimated: no decided votes"),
        (lambda votes: votes, "rank_correlation", "no interval: 2 models, at least 5"),
        (lambda votes: votes.tail(2), "accuracy", "no interval: the metric scores every pair equ"),
        (lambda votes: votes.tail(2), "auc", "no interval: the metric scores every pair equally"),
    ],
)
def test_what_cannot_be_estimated_says_why(change, measure, said):
    row = by_measure(metric_agreement(change(VOTES), margins(PAIRS, SCORES))).loc[measure]
    assert row["method"].startswith(said)
    assert np.isnan([row["ci_low"], row["ci_high"]]).all()
    assert np.isnan(row["estimate"]) == said.startswith("not estimated")


def test_a_metric_that_is_always_right_has_a_bound_as_if_it_had_been_wrong_once():
    found = by_measure(metric_agreement(VOTES.iloc[[0, 1, 3]], margins(PAIRS, SCORES)))
    for measure in ("accuracy", "auc"):
        row = found.loc[measure]
        assert (row["estimate"], row["ci_high"]) == (1, 1)
        assert 0 < row["ci_low"] < 1
        assert "as if one vote had gone the other way" in row["method"]


def test_equal_means_have_no_rank_correlation():
    level = SCORES.assign(score=1.0)
    row = by_measure(metric_agreement(VOTES, margins(PAIRS, level))).loc["rank_correlation"]
    assert np.isnan(row["estimate"])
    assert row["method"].startswith("not estimated: every model has the same mean")


def test_only_main_votes_that_count_and_pairs_with_scores_count():
    found = margins(PAIRS, SCORES)
    expected = metric_agreement(VOTES, found)
    more = pd.concat(
        [
            VOTES.assign(kind="main", excluded_by=""),
            VOTES.assign(kind="repeat", excluded_by=""),
            VOTES.assign(kind="main", excluded_by="blocked"),
            VOTES.assign(kind="main", excluded_by="", pair_id="unscored"),
        ],
        ignore_index=True,
    )
    pd.testing.assert_frame_equal(metric_agreement(more, found), expected)


def test_votes_without_pairs_and_metrics_without_scores_give_an_empty_table():
    found = margins(PAIRS, SCORES)
    assert metric_agreement(VOTES.drop(columns="pair_id"), found).empty
    assert metric_agreement(VOTES.assign(pair_id=""), found).empty
    assert metric_agreement(VOTES.head(0), found).empty
    empty = metric_agreement(VOTES, margins(PAIRS, SCORES.head(0)))
    assert empty.empty
    tables.check(empty, tables.METRIC_AGREEMENT, "metric agreement")


def test_simulated_votes_are_said_in_every_row():
    labelled = metric_agreement(VOTES.assign(vote_source=tables.SIMULATED), margins(PAIRS, SCORES))
    assert (labelled["vote_source"] == tables.SIMULATED).all()
    assert "vote_source" not in metric_agreement(VOTES, margins(PAIRS, SCORES))


def test_a_vote_of_other_models_than_its_pair_is_refused():
    wrong = VOTES.assign(model_b=["z", *VOTES["model_b"][1:]])
    with pytest.raises(TableError, match="row 1: its prompt and models are p1, x, z; .* p1, x, y"):
        metric_agreement(wrong, margins(PAIRS, SCORES))


def test_a_level_that_is_none_is_refused():
    with pytest.raises(EstimateError, match="level: found 2"):
        metric_agreement(VOTES, margins(PAIRS, SCORES), level=2)


def test_the_tables_are_public():
    names = ("margins", "metric_agreement", "metric_bins", "metric_differences", "disagreements")
    assert all(callable(getattr(evalkit, name)) for name in names)


STUDIES = st.builds(
    random_study,
    st.integers(0, 10**6),
    models=st.integers(2, 5),
    prompts=st.integers(2, 6),
    votes=st.integers(1, 3),
    annotators=st.integers(3, 5),
    ties=st.sampled_from([0.0, 0.3]),
)
FEW = settings(max_examples=15, deadline=None)
WHOLE = ["measure", "estimate", "ci_low", "ci_high", "n", "n_prompts", "n_annotators", "method"]


def table_of(study, change_votes=None, change_scores=None, **options):
    comparisons, pairs, scores = study
    comparisons = change_votes(comparisons) if change_votes else comparisons
    scores = change_scores(scores) if change_scores else scores
    return metric_agreement(comparisons, margins(pairs, scores, **options), replicates=100)


def assert_alike(one, other, columns=WHOLE):
    pd.testing.assert_frame_equal(one[columns], other[columns], rtol=1e-9, atol=1e-12)


def turned(comparisons, rows):
    names = {"model_a": "model_b", "model_b": "model_a"}
    some = comparisons.iloc[rows].rename(columns=names).replace({"winner": names})
    return pd.concat([comparisons.drop(comparisons.index[rows]), some])[comparisons.columns]


@FEW
@given(STUDIES, st.randoms(use_true_random=False))
def test_which_model_stands_first_and_the_order_of_rows_make_no_difference(study, random):
    rows = [row for row in range(len(study[0])) if random.random() < 0.5]
    changed = table_of(
        study, lambda votes: turned(votes, rows).sample(frac=1, random_state=random.randrange(99))
    )
    assert_alike(table_of(study), changed)


@FEW
@given(STUDIES)
def test_names_of_models_make_no_difference_though_they_say_who_stands_first(study):
    """The models in the reverse order of names: every pair is turned round."""
    comparisons, pairs, scores = study
    models = sorted({*pairs["model_a"], *pairs["model_b"]})
    names = dict(zip(models, reversed(models), strict=True))
    renamed = (
        comparisons.replace({"model_a": names, "model_b": names}),
        pairs.replace({"model_a": names, "model_b": names}),
        scores.replace({"model": names}),
    )
    columns = [name for name in WHOLE if name != "method"]  # of who never lost it gives the name
    assert_alike(table_of(study), table_of(renamed), columns)


@FEW
@given(STUDIES)
def test_names_of_people_make_no_difference(study):
    def renamed(votes):
        return votes.assign(annotator_id="other-" + votes["annotator_id"].str[::-1])

    assert_alike(table_of(study), table_of(study, renamed))


@FEW
@given(STUDIES, st.floats(0.1, 50), st.floats(-20, 20))
def test_another_unit_and_zero_of_the_scores_make_no_difference(study, unit, zero):
    def changed(scores):
        return scores.assign(score=unit * scores["score"] + zero)

    assert_alike(table_of(study), table_of(study, change_scores=changed))


@FEW
@given(STUDIES)
def test_any_growing_function_of_the_scores_has_the_same_accuracy(study):
    def changed(scores):
        return scores.assign(score=np.exp(scores["score"]))

    one, other = (by_measure(table_of(study, change_scores=way)) for way in (None, changed))
    alike = ["accuracy", "ceiling", "floor"]
    np.testing.assert_array_equal(one.loc[alike, "estimate"], other.loc[alike, "estimate"])


@FEW
@given(STUDIES)
def test_any_growing_odd_function_of_the_leads_has_the_same_auc(study):
    comparisons, pairs, scores = study
    for found in metric_votes(comparisons, margins(pairs, scores)):
        lead = found.decided.winner_lead
        np.testing.assert_array_equal(placements(lead), placements(np.sign(lead) * lead**2))


@FEW
@given(STUDIES)
def test_a_metric_read_the_wrong_way_round_is_as_often_wrong_as_it_was_right(study):
    one = by_measure(table_of(study))["estimate"]
    other = by_measure(table_of(study, lower_is_better=["m"]))["estimate"]
    np.testing.assert_allclose(other[["accuracy", "auc"]], 1 - one[["accuracy", "auc"]])
    np.testing.assert_allclose(other["rank_correlation"], -one["rank_correlation"])
    np.testing.assert_allclose(other[["ceiling", "floor"]], one[["ceiling", "floor"]])
