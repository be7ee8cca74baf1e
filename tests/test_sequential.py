"""Looking at any time: the e-process against closed forms, its error by simulation, decisions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.special import betaln

from evalkit import tables
from evalkit.analysis.sequential import anytime, anytime_table, log_e, pool_warning
from evalkit.analysis.significance import holm
from evalkit.errors import EstimateError, TableError
from evalkit.simulate import Population, gap_of
from evalkit.simulate.votes import simulate_shares

BAR = np.log(20)  # an e-value of 20 decides at the 95% level
MEANS = st.lists(st.sampled_from([0, 0.125, 0.25, 0.5, 0.75, 1]), min_size=1, max_size=40)
SOME = settings(max_examples=40, deadline=None)


# The e-process


def test_wins_and_losses_give_the_beta_binomial_mixture():
    """Witness: B(1 + wins, 1 + losses) / (m^wins (1 - m)^losses), Robbins 1970."""
    x = (np.random.default_rng(0).random(1500) < 0.57).astype(float)
    wins = np.cumsum(x)
    losses = np.arange(1, 1501) - wins
    for m in (0.2, 0.5, 0.62):
        closed = betaln(1 + wins, 1 + losses) - wins * np.log(m) - losses * np.log(1 - m)
        np.testing.assert_allclose(log_e(x, m), closed, atol=1e-6)


def test_of_means_between_it_is_never_under_the_mixture_of_likelihood_ratios():
    """Witness: numerical integration of prod (q/m)^x ((1-q)/(1-m))^(1-x) over q."""
    x, m = np.random.default_rng(1).choice([0, 0.25, 0.5, 0.75, 1], 30), 0.45
    ones = x.sum()

    def product(q: float) -> float:
        return (q / m) ** ones * ((1 - q) / (1 - m)) ** (30 - ones)

    by_likelihood = np.log(integrate.quad(product, 0, 1)[0])
    assert log_e(x, m)[-1] > by_likelihood + 0.1


def test_each_bet_is_fair():
    """With x of 0, 1/2, 1 at chances .2, .4, .4 (mean .6) the expected e after two prompts is 1."""
    chances = {0.0: 0.2, 0.5: 0.4, 1.0: 0.4}
    expected = sum(
        p * q * np.exp(log_e(np.array([x, y]), 0.6)[-1])
        for x, p in chances.items()
        for y, q in chances.items()
    )
    assert expected == pytest.approx(1, abs=1e-12)


# Error and power, looking after every prompt


def rejected(observations: np.ndarray, m: float = 0.5, bar: float = BAR) -> np.ndarray:
    """Which studies (rows) ever reach the bar."""
    parts = np.array_split(observations, max(1, len(observations) // 100))
    return np.concatenate([(log_e(part, m) >= bar).any(axis=-1) for part in parts])


@pytest.fixture(scope="module")
def null():
    """1000 studies without a preference: 100 prompts of their own taste with four votes each."""
    shares = simulate_shares(
        0, n_prompts=100, votes_per_prompt=4, n_annotators=400, studies=1000, seed=1, prompt_sd=1.5
    )
    return shares.points.reshape(1000, 100, 4)


def test_the_error_holds_under_continuous_looking_on_prompt_means(null):
    assert rejected(null.mean(axis=-1)).mean() <= 0.05


def test_on_raw_votes_it_does_not_which_guards_the_simulation(null):
    assert rejected(null.reshape(1000, 400)).mean() > 0.10


def test_the_error_holds_over_all_depths_together(null):
    shares = {1: 0.25, 2: 0.25, 4: 0.5}
    looks = [rejected(null[..., :k].mean(-1), bar=BAR - np.log(s)) for k, s in shares.items()]
    assert np.any(looks, axis=0).mean() <= 0.05


def test_the_interval_holds_the_truth_at_all_looks_at_once():
    gap = gap_of(0.7, Population(prompt_sd=1))
    shares = simulate_shares(
        gap, n_prompts=80, votes_per_prompt=4, n_annotators=400, studies=600, seed=2, prompt_sd=1
    )
    means = shares.points.reshape(600, 80, 4).mean(axis=-1)
    assert rejected(means, shares.share).mean() <= 0.05


def test_it_needs_fewer_prompts_on_average_and_more_for_the_same_power():
    """Win rate .7, one vote a prompt: the exact binomial test has 90% power from 65 prompts on."""
    fixed = 65
    votes = np.random.default_rng(3).random((1000, int(1.8 * fixed))) < 0.7
    crossed = log_e(votes.astype(float), 0.5) >= BAR
    stopped = np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, votes.shape[1])
    assert 0.7 < stopped.mean() / fixed < 0.9
    assert crossed.any(axis=1).mean() > 0.9
    assert crossed[:, :fixed].any(axis=1).mean() < 0.8


# The sequence


def test_the_interval_is_every_mean_that_no_look_has_refuted():
    means = np.random.default_rng(4).choice([0.25, 0.5, 0.75, 1], 60)
    grid = np.linspace(0.001, 0.999, 999)
    kept = grid[[log_e(means, m).max() < BAR for m in grid]]
    sequence = anytime(means)
    assert sequence.ci_low == pytest.approx(kept[0], abs=0.0011)
    assert sequence.ci_high == pytest.approx(kept[-1], abs=0.0011)
    assert sequence.estimate == means.mean()
    assert sequence.decision == "decided"
    assert sequence.p_value == pytest.approx(np.exp(-log_e(means, 0.5).max()))
    assert sequence.frame.shape == (1, 10)


def test_decisions_by_arithmetic():
    """n prompts all for one side give e = 2^n / (n + 1): 16 after seven, 28.4 after eight."""
    seven, eight = anytime(np.ones(7)), anytime(np.zeros(8))
    assert (seven.e_value, eight.e_value) == pytest.approx((16, 256 / 9))
    assert (seven.decision, eight.decision) == ("go on", "decided")
    assert anytime(np.ones(3), planned=8).decision == "go on"
    assert anytime(np.ones(3), planned=7).decision == "cannot be decided"
    assert anytime([], planned=8).decision == "go on"
    assert anytime([], planned=7).decision == "cannot be decided"
    assert anytime(np.full(30, 0.5), planned=30).decision == "cannot be decided"


def test_no_prompts_say_nothing():
    nothing = anytime([])
    assert np.isnan(nothing.estimate)
    assert (nothing.ci_low, nothing.ci_high, nothing.p_value, nothing.n) == (0, 1, 1, 0)
    assert nothing.decision == "go on"


def test_a_win_rate_that_changes_is_said_and_decides_nothing():
    changed = anytime(np.r_[np.ones(60), np.zeros(200)])
    assert np.isnan([changed.ci_low, changed.ci_high]).all()
    assert changed.decision == "cannot be decided"
    assert changed.method.startswith("no interval: the win rate changed along the way")


@pytest.mark.parametrize(
    ("means", "options", "said"),
    [
        ([0.5, 1.2], {}, "between 0 and 1"),
        ([0.5, np.nan], {}, "between 0 and 1"),
        ([[0.5]], {}, "one number"),
        ([0.5], {"level": 1}, "level"),
        ([0.5, 1], {"planned": 1}, "planned: 1 prompts, and there are 2"),
    ],
)
def test_mistakes(means, options, said):
    with pytest.raises(EstimateError, match=said):
        anytime(means, **options)


@SOME
@given(MEANS)
def test_the_other_model_sees_the_mirror_image(means):
    one, other = anytime(np.array(means)), anytime(1 - np.array(means))
    assert one.decision == other.decision
    assert one.e_value == pytest.approx(other.e_value)
    assert one.ci_low == pytest.approx(1 - other.ci_high, abs=1e-4, nan_ok=True)


@SOME
@given(MEANS)
def test_the_interval_never_widens_and_agrees_with_the_p_value(means):
    before, after = anytime(means[:-1]), anytime(means)
    assert after.p_value <= before.p_value * (1 + 1e-9)
    if np.isnan(after.ci_low):
        return
    assert before.ci_low - 1e-5 <= after.ci_low <= after.ci_high <= before.ci_high + 1e-5
    assert (after.p_value <= 0.05) == (after.ci_low > 0.5 or after.ci_high < 0.5)


@SOME
@given(MEANS)
def test_what_cannot_be_decided_never_is(means):
    planned = len(means) + 5
    if anytime(means, planned=planned).decision == "cannot be decided":
        for side in (0, 1):
            assert anytime([*means, *[side] * 5]).decision != "decided"


# The table


def plan(n_prompts: int, n_votes: int, pairs=(("a", "b"),), questions=("q",)) -> pd.DataFrame:
    rows = [
        (question, *pair, f"p{i:02d}", n_votes)
        for question in questions
        for pair in pairs
        for i in range(n_prompts)
    ]
    names = ["question_id", "model_a", "model_b", "prompt_id", "n_votes"]
    return pd.DataFrame(rows, columns=names)


def votes(*rows: tuple[str, str], people: int = 2) -> pd.DataFrame:
    """Votes on a against b, in order: prompt and winner."""
    frame = pd.DataFrame(rows, columns=["prompt_id", "winner"])
    return frame.assign(
        question_id="q", model_a="a", model_b="b", kind="main",
        annotator_id=[f"n{i % people}" for i in range(len(frame))],
    )  # fmt: skip


ROUNDS = votes(  # p00: 1, 1/2; p02: 1, 1; p01: 0, only
    ("p00", "model_a"), ("p01", "model_b"), ("p02", "model_a"), ("p02", "model_a"), ("p00", "tie"),
)  # fmt: skip


def test_a_row_counts_and_takes_the_tightest_of_the_depths():
    (row,) = anytime_table(ROUNDS, plan(4, 2)).to_dict("records")
    counts = ("n", "n_prompts", "n_annotators", "complete_prompts")
    assert [row[name] for name in counts] == [5, 3, 2, 2]
    assert (row["planned_prompts"], row["planned_votes"]) == (4, 8)
    assert row["win_rate_a"] == pytest.approx((0.75 + 0 + 1) / 3)
    first = anytime([1, 0, 1], level=0.975)  # the first vote of each
    both = anytime([1, 0.75], level=0.975)  # p02 was completed before p00
    assert row["e_value"] == pytest.approx(max(first.e_value, both.e_value) / 2)
    assert row["ci_low"] == max(first.ci_low, both.ci_low)
    assert row["ci_high"] == min(first.ci_high, both.ci_high)
    assert row["p_value"] == row["p_holm"] == min(1, 1 / row["e_value"])
    assert row["decision"] == "cannot be decided"  # four prompts never can
    assert row["warning"] == pool_warning(2)
    assert row["warning"].startswith("SMALL POOL: 2 annotators voted: this speaks for them")
    assert pool_warning(20).startswith("20 annotators voted: this speaks for them")


def test_thousands_of_prompts_have_the_interval_of_their_mirror_image():
    """A win rate that changes early: e passes the largest number, and the search must not end on
    a flat top."""
    rng = np.random.default_rng(4)
    means = np.r_[rng.random(156) < 0.005, rng.random(4000) < 0.04].astype(float)
    found, mirror = anytime(means), anytime(1 - means)
    assert found.decision == mirror.decision == "decided"
    assert found.ci_low < means[156:].mean() < found.ci_high < 0.06
    assert (1 - mirror.ci_high, 1 - mirror.ci_low) == pytest.approx(
        (found.ci_low, found.ci_high), abs=1e-5
    )


def test_models_that_stand_the_other_way_round_are_turned():
    turned = ROUNDS.assign(
        model_a="b",
        model_b="a",
        winner=ROUNDS["winner"].replace({"model_a": "model_b", "model_b": "model_a"}),
    )
    expected = anytime_table(ROUNDS, plan(4, 2))
    pd.testing.assert_frame_equal(anytime_table(turned, plan(4, 2)), expected)
    pd.testing.assert_frame_equal(anytime_table(ROUNDS, plan(4, 2, pairs=(("b", "a"),))), expected)


def test_excluded_votes_and_repeats_do_not_count():
    repeat = ROUNDS.head(1).assign(kind="repeat", winner="model_b")
    marked = pd.concat([ROUNDS.assign(excluded_by=["", "blocked", "", "", ""]), repeat])
    row = anytime_table(marked.fillna({"excluded_by": ""}), plan(4, 2)).iloc[0]
    assert (row["n"], row["n_prompts"], row["complete_prompts"]) == (4, 2, 2)
    assert row["win_rate_a"] == pytest.approx((0.75 + 1) / 2)


def test_one_vote_per_prompt_is_one_sequence_and_pairs_are_a_family():
    pairs = (("a", "b"), ("a", "c"))
    rng = np.random.default_rng(5)
    given = votes(*((f"p{i:02d}", "model_a" if rng.random() < 0.9 else "tie") for i in range(40)))
    table = anytime_table(given, plan(40, 1, pairs)).set_index("model_b")
    alone = anytime(np.where(given["winner"] == "tie", 0.5, 1.0), planned=40)
    assert table.loc["b", "ci_low"] == alone.ci_low
    assert table.loc["b", "decision"] == "decided"
    assert table["p_holm"].tolist() == holm(table["p_value"].to_numpy()).tolist()
    unseen = table.loc["c"]
    assert (unseen["n"], unseen["ci_low"], unseen["ci_high"], unseen["p_value"]) == (0, 0, 1, 1)
    assert np.isnan(unseen["win_rate_a"])
    assert unseen["decision"] == "go on"


def test_empty_and_unplanned():
    nothing = anytime_table(ROUNDS.iloc[:0], plan(0, 1))
    assert nothing.empty
    assert list(nothing.columns) == tables.ANYTIME.empty().columns.tolist()
    with pytest.raises(TableError, match=r"a vote on a and b for prompt p02 \(question q\)"):
        anytime_table(ROUNDS, plan(2, 2))
