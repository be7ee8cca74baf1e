"""Ratings: rules for ties, position, prior, intervals that cover, and degenerate votes flagged."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from evalkit import tables
from evalkit.analysis.coding import CodedVotes, encode
from evalkit.analysis.freedom import Compared
from evalkit.analysis.paired_models import fit
from evalkit.analysis.ratings import TIES, _compared, ratings
from evalkit.errors import EstimateError
from evalkit.simulate import Population, gap_of, simulate_comparisons
from tests.paired_votes import (
    ALL_TIES,
    DISCONNECTED,
    ONE_VOTE,
    SEPARATED,
    clustered_study,
    comparisons,
    random_votes,
)

NUMBERS = ["rating", "se", "ci_low", "ci_high", "elo", "elo_low", "elo_high", "n"]


def balanced_votes(seed, n=576, **options):
    """Random votes where each of eight annotators and twelve prompts has as many on each pair."""
    frame = random_votes(seed, n=2 * n, **options)
    names = np.minimum(frame["model_a"], frame["model_b"]) + np.maximum(
        frame["model_a"], frame["model_b"]
    )
    turn = frame.groupby(names).cumcount()
    frame["annotator_id"] = "a" + (turn % 8).astype(str)
    frame["prompt_id"] = "p" + (turn // 8 % 12).astype(str)
    return frame[turn < n // 6].reset_index(drop=True)


def test_the_table_of_a_fit():
    frame = random_votes(1)
    fitted = fit(encode(frame))
    rated = ratings(frame)
    best = int(fitted.strengths.argmax())
    assert rated["model"].iloc[0] == fitted.models[best]
    assert rated["rating"].is_monotonic_decreasing
    assert rated["rating"].iloc[0] == pytest.approx(fitted.strengths[best])
    contrast = np.eye(4)[best] - 1 / 4
    error = np.sqrt(fitted.variance(contrast))
    assert rated["se"].iloc[0] == pytest.approx(error)
    # Eight annotators, fewer than the prompts, who have votes in nearly equal parts.
    freedom = _compared(encode(frame)).of_ratings(fitted.bread)[best]
    assert 6.5 < freedom < 7
    half = stats.t.ppf(0.975, freedom) * error
    assert rated["ci_high"].iloc[0] - rated["rating"].iloc[0] == pytest.approx(half)
    assert rated["n"].sum() == 2 * len(frame)
    # 1000 + rating * 400 / ln 10, and 400 / ln 10 = 173.717792761
    for rating, elo in (("rating", "elo"), ("ci_low", "elo_low"), ("ci_high", "elo_high")):
        assert rated[elo].to_numpy() == pytest.approx(
            1000 + 173.717792761 * rated[rating], abs=1e-6
        )
    (method,) = set(rated["method"])
    assert method == (
        "Bradley-Terry, two-way (prompt x annotator) sandwich, t; ties and both_bad count half; "
        "ranks by Holm over all pairs and both directions"
    )


def test_a_higher_level_is_a_wider_interval():
    frame = balanced_votes(2)
    wide, narrow = (ratings(frame, level=level) for level in (0.99, 0.8))
    # Each of eight annotators has as many votes on each pair: 7 degrees of freedom.
    factor = stats.t.ppf(0.995, 7) / stats.t.ppf(0.9, 7)
    ratio = (wide["ci_high"] - wide["ci_low"]) / (narrow["ci_high"] - narrow["ci_low"])
    assert ratio.to_numpy() == pytest.approx(factor)


def test_ties_under_every_rule():
    frame = random_votes(3, ties=0.4)
    decided = frame[frame["winner"].isin(["model_a", "model_b"])]
    half, drop, model = (ratings(frame, ties=rule) for rule in ("half", "drop", "model"))
    pd.testing.assert_frame_equal(
        drop[NUMBERS], ratings(decided)[NUMBERS], check_exact=False, rtol=1e-9
    )
    assert half["rating"].max() < drop["rating"].max()  # ties draw the models together
    assert drop["n"].sum() == 2 * len(decided)
    davidson = fit(encode(frame), "davidson")
    assert model["rating"].to_numpy() == pytest.approx(np.sort(davidson.strengths)[::-1])
    assert model["tie_parameter"].tolist() == [davidson.tie_parameter] * 4
    assert "tie_parameter" not in half.columns
    for table, words in ((half, "count half"), (drop, "dropped"), (model, "outcome of their own")):
        assert table["method"].str.contains(f"ties and both_bad .*{words}").all()
    assert model["method"].str.startswith("Davidson, two-way").all()


def test_an_unknown_rule_for_ties_is_refused():
    with pytest.raises(EstimateError, match="ties: found skip; allowed are half, drop, model"):
        ratings(random_votes(1), ties="skip")


def test_a_level_that_is_none_is_refused():
    with pytest.raises(EstimateError, match="level: found 95"):
        ratings(random_votes(1), level=95)


def test_the_position_effect_has_an_interval():
    frame = balanced_votes(4, n=1920, position=0.5)
    rated = ratings(frame, ties="model", position=True)
    effects = rated[["position_effect", "position_low", "position_high"]].drop_duplicates()
    effect, low, high = effects.iloc[0]
    assert len(effects) == 1
    assert low < effect < high
    fitted = fit(encode(frame), "davidson", position=True)
    assert high - effect == pytest.approx(stats.t.ppf(0.975, 7) * fitted.position_se)
    assert "position_effect" not in ratings(frame).columns
    unknown = ratings(frame.drop(columns="left_model"), position=True)
    assert unknown["rating"].isna().all()
    assert unknown["method"].str.contains("no position effect: the side").all()


def test_a_prior_rates_an_unbeaten_model_and_says_so():
    rated = ratings(comparisons(SEPARATED), prior=1.0)
    assert rated["model"].tolist() == ["A", "B", "C"]
    assert rated["converged"].all()
    assert rated["method"].str.contains("normal prior with sd 1 on the log-odds").all()
    assert rated["ci_low"].notna().all()


# Degenerate votes


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (SEPARATED, "A never lost"),
        (DISCONNECTED, "2 groups never compared"),
        (ONE_VOTE, "A never lost"),
    ],
)
def test_what_has_no_finite_rating_is_flagged_and_never_fitted(ties, table, reason):
    flagged = ratings(comparisons(table), ties=ties)
    numbers = ["rating", "se", "ci_low", "ci_high", "elo", "elo_low", "rank_low", "rank_high"]
    assert flagged[numbers].isna().all(axis=None)
    assert flagged["tied_for_first"].isna().all()
    assert not flagged["converged"].any()
    assert flagged["method"].str.contains(reason).all()
    assert flagged["n"].gt(0).all()


def test_all_ties_under_every_rule():
    frame = comparisons(ALL_TIES)
    half = ratings(frame)
    assert half["rating"].tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert half[["se", "ci_low", "rank_low", "tied_for_first"]].isna().all(axis=None)
    assert half["method"].str.contains("no variation").all()
    for rule, reason in (("drop", "no votes"), ("model", "every vote is a tie")):
        flagged = ratings(frame, ties=rule)
        assert flagged["rating"].isna().all()
        assert flagged["method"].str.contains(reason).all()


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("column", ["annotator_id", "prompt_id"])
def test_one_annotator_or_one_prompt_gives_a_rating_without_an_interval(ties, column):
    rated = ratings(random_votes(5).assign(**{column: "one"}), ties=ties)
    assert rated["rating"].notna().all()
    assert rated["converged"].all()
    unknown = ["se", "ci_low", "ci_high", "elo_low", "rank_low", "rank_high", "tied_for_first"]
    assert rated[unknown].isna().all(axis=None)
    noun = column.removesuffix("_id")
    assert rated["method"].str.startswith(f"no interval: one {noun}").all()


def test_a_model_judged_by_one_person_has_no_interval_and_leaves_ranks_open():
    many = random_votes(6, n=4000, models=2, annotators=10, ties=0)
    one = comparisons([("m1", "z", 6, 4, 0)], annotators=1)
    rated = ratings(pd.concat([many, one])).set_index("model")
    assert not np.isnan(rated.loc["m0", "ci_low"])
    # m1's rating is against the mean of all, and how far z lies from it one person alone says.
    assert rated.loc["m1", "method"].startswith("no interval: it rests on nearly one annotator")
    assert np.isnan(rated.loc["z", "ci_low"])
    assert "one annotator" in rated.loc["z", "method"]
    # m0 is shown to beat m1; z may stand anywhere, so each of them has one more rank open.
    assert rated.loc["m0", ["rank_low", "rank_high"]].tolist() == [1, 2]
    assert rated.loc["m1", ["rank_low", "rank_high"]].tolist() == [2, 3]
    assert np.isnan(rated.loc["z", "rank_low"])


def chain(rng, people, prompts=100, votes=3, annotator_sd=0.7):
    """A-B judged by some people and B-C by others; 0.5 and 0.3 apart over all people."""
    parts = []
    for pair, (size, gap) in enumerate(zip(people, (0.5, 0.3), strict=True)):
        centre = gap_of(expit(gap), Population(0.0, annotator_sd))
        person = np.argsort(rng.random((prompts, size)), axis=1)[:, :votes].ravel()
        effect = annotator_sd * rng.standard_normal(size)
        lost = rng.random(len(person)) > expit(centre + effect[person])
        prompt = np.repeat(np.arange(prompts), votes)
        parts.append((np.full(len(lost), pair), lost, prompt, 100 * pair + person))
    pair, lost, prompt, annotator = (np.concatenate(part) for part in zip(*parts, strict=True))
    unknown = np.zeros(len(pair), dtype=int)
    return CodedVotes(("A", "B", "C"), pair, pair + 1, lost.astype(int), prompt, annotator, unknown)


def test_the_freedom_of_a_chain_by_hand():
    # 30 people with as many votes on A-B, 3 on B-C, 300 votes each: A's rating moves by 2/3 of the
    # first gap and 1/3 of the second, whose variances are as 4/9 / 30 to 1/9 / 3, or .286 to .714.
    pair, person = np.repeat([0, 1], 300), np.append(np.arange(300) % 30, 30 + np.arange(300) % 3)
    first, second = np.array([0, 1]), np.array([1, 2])
    by_annotator = np.diag([300**2 / 30, 300**2 / 3])
    compared = Compared(
        first, second, np.array([300, 300]), np.diag([300.0, 300.0]), by_annotator,
        np.array([300, 600, 300]), np.array([30, 33, 3]),
    )  # fmt: skip
    incidence = np.array([[1.0, -1, 0], [0, 1, -1]])
    bread = np.linalg.pinv(incidence.T @ incidence)  # pairs with equal information
    share = 4 / 9 / 30 / (4 / 9 / 30 + 1 / 9 / 3)
    expected = 1 / (share**2 / 30 + (1 - share) ** 2 / 3) - 1  # 4.8
    assert compared.of_ratings(bread)[0] == pytest.approx(expected)
    assert compared.of_differences(bread)[0, 1] == pytest.approx(29)
    assert compared.of_differences(bread)[1, 2] == pytest.approx(2)
    coded = CodedVotes(("A", "B", "C"), pair, pair + 1, pair * 0, np.arange(600), person, pair * 0)
    assert _compared(coded).of_ratings(bread) == pytest.approx(compared.of_ratings(bread))


def test_a_rating_does_not_borrow_the_certainty_of_another_pair():
    """30 people judge A-B and 3 judge B-C: A and B hang on the three as well."""
    rng = np.random.default_rng(2)
    truth = np.array([1.3, -0.2, -1.1]) / 3
    covered, plain, studies = np.zeros(3), np.zeros(3), 400
    for _ in range(studies):
        votes = chain(rng, (30, 3))
        fitted, compared = fit(votes), _compared(votes)
        errors = np.sqrt([fitted.variance(row) for row in np.eye(3) - 1 / 3])
        off = np.abs(fitted.strengths - truth) / errors
        covered += off <= stats.t.ppf(0.975, compared.of_ratings(fitted.bread))
        plain += off <= stats.t.ppf(0.975, compared.n_annotators - 1)
    assert (covered / studies >= 0.935).all()
    assert plain[1] / studies < 0.88  # the count of its own annotators


def test_no_votes_give_no_rows():
    empty = ratings(comparisons(ONE_VOTE).head(0))
    assert empty.empty
    assert [c.name for c in tables.RATINGS.columns if c.required] == list(empty.columns)


def test_repeats_do_not_count():
    frame = random_votes(7).assign(kind="main")
    repeats = frame.head(200).assign(kind="repeat", winner="model_a")
    pd.testing.assert_frame_equal(ratings(pd.concat([frame, repeats])), ratings(frame))


def test_each_question_has_its_own_models():
    quality = random_votes(8)
    other = random_votes(9, models=3).assign(question_id="alignment")
    both = ratings(pd.concat([quality, other]))
    assert both["question_id"].tolist() == ["alignment"] * 3 + ["quality"] * 4
    alone = ratings(quality)
    kept = both[both["question_id"] == "quality"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, alone)


def test_the_table_reads_back_as_written(tmp_path):
    other = comparisons(SEPARATED, question_id="alignment")
    frame = pd.concat([random_votes(10), other.assign(left_model=other["model_b"])])
    rated = ratings(frame, ties="model", position=True)
    tables.write(rated, tmp_path / "ratings.csv", tables.RATINGS)
    back = tables.read(tmp_path / "ratings.csv", tables.RATINGS)
    pd.testing.assert_frame_equal(back, rated)


# Properties

SEEDS = st.integers(0, 10_000)
RULES = st.sampled_from(sorted(TIES))
PROPERTY = settings(max_examples=15, deadline=None)


@given(seed=SEEDS, ties=RULES)
@PROPERTY
def test_swapping_a_and_b_changes_nothing(seed, ties):
    frame = random_votes(seed, n=200)
    swapped = frame.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    swapped["winner"] = swapped["winner"].replace({"model_a": "model_b", "model_b": "model_a"})
    pd.testing.assert_frame_equal(ratings(swapped, ties=ties), ratings(frame, ties=ties))


@given(seed=SEEDS, ties=RULES)
@PROPERTY
def test_the_order_of_the_votes_changes_nothing(seed, ties):
    frame = random_votes(seed, n=200)
    shuffled = frame.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(
        ratings(shuffled, ties=ties), ratings(frame, ties=ties), check_exact=False, rtol=1e-7
    )


@given(seed=SEEDS, ties=RULES)
@PROPERTY
def test_relabelling_renames_the_rows(seed, ties):
    frame = random_votes(seed, n=200, position=0.2)
    names = {"m0": "zebra", "m1": "ant", "m2": "m2", "m3": "bee"}
    renamed = frame.replace(dict.fromkeys(("model_a", "model_b", "left_model"), names))
    one, two = (ratings(f, ties=ties, position=True) for f in (frame, renamed))
    one["model"] = one["model"].map(names).astype(object)
    columns = [*NUMBERS, "rank_low", "rank_high", "position_effect"]
    one, two = (table.set_index("model").sort_index()[columns] for table in (one, two))
    pd.testing.assert_frame_equal(two, one, check_exact=False, rtol=1e-6, atol=1e-8)


@given(seed=SEEDS, ties=RULES)
@PROPERTY
def test_the_same_votes_twice_are_no_more_sure(seed, ties):
    frame = random_votes(seed, n=200)
    once, twice = ratings(frame, ties=ties), ratings(pd.concat([frame, frame]), ties=ties)
    assert twice["rating"].to_numpy() == pytest.approx(once["rating"].to_numpy(), abs=1e-7)
    assert twice["se"].to_numpy() == pytest.approx(once["se"].to_numpy(), rel=1e-5)
    coded = encode(frame)
    fits = [fit(coded), fit(coded.take(np.tile(np.arange(coded.n), 2)))]
    naive = [fitted.bread[0, 0] for fitted in fits]
    assert naive[1] == pytest.approx(naive[0] / 2)  # votes taken as independent


@given(seed=SEEDS)
@PROPERTY
def test_an_empty_model_is_not_rated_and_moves_nobody(seed):
    """Whether only a category says its name, or another question does."""
    frame = random_votes(seed, n=200)
    names = pd.CategoricalDtype(["empty", "m0", "m1", "m2", "m3"])
    typed = frame.astype({"model_a": names, "model_b": names})
    pd.testing.assert_frame_equal(ratings(typed), ratings(frame))
    elsewhere = frame.head(3).assign(question_id="zeta", model_a="empty", model_b="m0")
    elsewhere["left_model"] = "m0"
    elsewhere["winner"] = ["model_a", "model_b", "tie"]
    both = ratings(pd.concat([frame, elsewhere]))
    kept = both[both["question_id"] == "quality"]
    pd.testing.assert_frame_equal(kept, ratings(frame))


# Coverage


def test_rating_intervals_cover_where_votes_share_prompts_and_annotators():
    rng = np.random.default_rng(20231128)
    truth = np.array([0.5, 0.1, -0.6])
    contrasts = np.eye(3) - 1 / 3
    covered, naive, studies = 0, 0, 400
    for _ in range(studies):
        votes = clustered_study(rng, truth)
        fitted = fit(votes)
        quantile = stats.t.ppf(0.975, min(votes.n_prompts, votes.n_annotators) - 1)
        for contrast in contrasts:
            miss = abs(contrast @ fitted.strengths - contrast @ truth)
            covered += miss <= quantile * np.sqrt(fitted.variance(contrast))
            naive += miss <= 1.96 * np.sqrt(contrast @ fitted.floor @ contrast)
    assert 0.93 <= covered / (3 * studies) <= 0.975
    assert naive / (3 * studies) < 0.85  # independent votes assumed: guards the simulation


@pytest.mark.parametrize("prior", [0, -1.0, float("nan")])
def test_a_prior_that_is_no_standard_deviation_is_refused_and_not_flagged(prior):
    with pytest.raises(EstimateError, match="prior: found .* standard deviation"):
        ratings(random_votes(1), prior=prior)


def test_what_simulated_annotators_were_told_is_found_again():
    """Davidson with sides, on votes drawn from just that, in 40 studies."""
    truth = {"w": 0.7, "x": 0.2, "y": -0.1, "z": -0.8}  # their mean is 0
    said = {"tie_parameter": 0.5, "position_effect": 0.3}
    covered = {"rating": 0, "position_effect": 0}
    means = []
    for seed in range(40):
        frame = simulate_comparisons(
            truth, n_prompts=30, votes_per_prompt=3, n_annotators=12, tie_weight=0.5,
            left_bias=0.3, seed=seed,
        )  # fmt: skip
        rated = ratings(frame, ties="model", position=True).set_index("model")
        means.append(rated[["rating", *said]].loc["w"])
        inside = rated["ci_low"].lt(pd.Series(truth)) & rated["ci_high"].gt(pd.Series(truth))
        covered["rating"] += inside.sum()
        low, high = rated.iloc[0][["position_low", "position_high"]]
        covered["position_effect"] += low < said["position_effect"] < high
    # The mean of 40 estimates is within a few hundredths, and 95% of 160 ratings are 152.
    assert np.mean(means, axis=0) == pytest.approx([0.7, 0.5, 0.3], abs=0.04)
    assert 144 <= covered["rating"] <= 160
    assert covered["position_effect"] >= 35
