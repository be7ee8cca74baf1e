"""Agreement: published values, a package as witness, loops, and simulation of known truth."""

import csv

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import tables
from evalkit.analysis.agreement import agreement, between_annotators, repeat_consistency
from evalkit.analysis.coincidences import alpha, coincidences, observed, two_way_jackknife
from tests.reference import FOLDER, needs_reference, read_json

NAMES = ["annotator_id", "prompt_id", "question_id", "model_a", "model_b", "winner"]


def alpha_of(value, unit, annotator, prompt=None, **settings):
    codes = [np.asarray(v) for v in (value, unit, annotator, unit if prompt is None else prompt)]
    return between_annotators(coincidences(*codes), "krippendorff_alpha", **settings)


def of_matrix(rows):
    """Codes of a coders x units matrix with None for what is missing."""
    data = np.array(rows, dtype=float)
    annotator, unit = np.nonzero(~np.isnan(data))
    return data[annotator, unit].astype(int), unit, annotator


def comparisons(*rows, **columns):
    return pd.DataFrame(rows, columns=NAMES).assign(**columns)


# Published values and witnesses


@needs_reference
def test_krippendorffs_own_example():
    with (FOLDER / "votes" / "krippendorff_codings.csv").open() as file:
        rows = [[int(cell) if cell else None for cell in row] for row in csv.reader(file)]
    found = alpha_of(*of_matrix(rows))
    assert found.estimate == pytest.approx(0.743, abs=5e-4)  # Krippendorff 2011, section C
    # Of his 41 values, one stands alone on its unit: 40 are pairable, on 11 units.
    assert (found.n, found.n_units, found.n_annotators) == (40, 11, 4)
    assert "1 of 41 votes have no other's beside them" in found.method


@needs_reference
def test_reference_values():
    for case in read_json("krippendorff.json"):
        found = alpha_of(*of_matrix(case["data"]))
        assert found.estimate == pytest.approx(case["alpha"]["nominal"], abs=1e-12)


@needs_reference
def test_fleiss_kappa_is_alpha_without_its_correction_for_small_samples():
    """With as many votes on every item, 1 - alpha = (1 - kappa) (n - 1) / n."""
    for case in read_json("fleiss.json"):
        table = np.array(case["table"])
        value = np.concatenate([np.repeat(np.arange(table.shape[1]), row) for row in table])
        raters = table.sum(axis=1)[0]
        unit = np.repeat(np.arange(len(table)), raters)
        found = alpha_of(value, unit, np.tile(np.arange(raters), len(table)))
        assert fleiss(found) == pytest.approx(case["kappa"], abs=1e-9)


def fleiss(found):
    return 1 - (1 - found.estimate) * found.n / (found.n - 1)


@needs_reference
@pytest.mark.parametrize(("question", "kappa"), [("Alignment", 0.108), ("Realism", 0.051)])
def test_real_votes_on_partiprompts(question, kappa):
    """The published kappa of 1630 prompts with five votes each; kohjingyu/gill."""
    file = FOLDER / "votes" / f"gill_partiprompts_{question}.tsv"
    decisions = pd.read_csv(file, sep="\t", quoting=csv.QUOTE_NONE)["Decisions"].str.split(",")
    decisions = decisions[decisions.str.len() == 5]
    winner = {"gen": "model_a", "ret": "model_b", "same": "tie"}
    rows = [
        (f"seat {seat}", f"p{prompt}", question, "gen", "ret", winner[said])
        for prompt, votes in enumerate(decisions)
        for seat, said in enumerate(votes)
    ]
    found = agreement(comparisons(*rows)).set_index("measure")
    of_all = found.loc["krippendorff_alpha"]
    assert (of_all["n"], of_all["n_units"], of_all["n_annotators"]) == (8150, 1630, 5)
    assert fleiss(of_all) == pytest.approx(kappa, abs=5e-4)
    assert 0 < of_all["ci_low"] < of_all["bootstrap_low"] < kappa
    assert np.isnan(found.loc["repeat_consistency", "estimate"])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kinds=st.integers(2, 4), share=st.floats(0.2, 1))
def test_as_the_package_krippendorff_and_as_loops(seed, kinds, share):
    rng = np.random.default_rng(seed)
    data = np.where(rng.random((5, 12)) < share, rng.integers(0, kinds, (5, 12)), np.nan)
    value, unit, annotator = of_matrix(data)
    pairs = [
        (value[i], value[j], unit[i])
        for i in range(len(value))
        for j in range(len(value))
        if i != j and unit[i] == unit[j]
    ]
    found = coincidences(value, unit, annotator, unit)
    if not pairs:
        assert found.n == 0
        return
    total = found.units.sum(axis=0)
    # Each ordered pair weighs 1 / (m - 1) for the m values on its unit.
    weight = {u: 1 / ((unit == u).sum() - 1) for _, _, u in pairs}
    alike = sum(weight[u] for a, b, u in pairs if a == b) / sum(weight[u] for _, _, u in pairs)
    assert observed(total) == pytest.approx(alike)
    if len({a for a, _, _ in pairs}) == 1:
        assert np.isnan(alpha(total))
    else:
        package = krippendorff.alpha(reliability_data=data, level_of_measurement="nominal")
        assert alpha(total) == pytest.approx(package)


# The interval


def test_leaving_out_is_computed_as_by_leaving_out():
    rng = np.random.default_rng(3)
    votes = rng.integers(2, 6, 24)  # on each unit
    unit = np.repeat(np.arange(24), votes)
    prompt = unit // 2
    annotator = np.concatenate([rng.permutation(7)[:n] for n in votes])
    value = rng.integers(0, 3, len(unit))

    def alpha_without(rows):
        kept = coincidences(*(codes[~rows] for codes in (value, unit, annotator, prompt)))
        return float(alpha(kept.units.sum(axis=0)))

    def variance(codes):
        estimates = np.array([alpha_without(codes == code) for code in np.unique(codes)])
        size = len(estimates)
        return (size - 1) / size * ((estimates - estimates.mean()) ** 2).sum()

    found = coincidences(value, unit, annotator, prompt)
    both = variance(prompt) + variance(annotator) - variance(prompt * 100 + annotator)
    assert two_way_jackknife(found, alpha) == pytest.approx(max(both, variance(prompt)))


def test_the_bootstrap_draws_prompts():
    """Against a plain loop over the same draws."""
    rng = np.random.default_rng(5)
    unit = np.repeat(np.arange(30), 3)
    codes = rng.integers(0, 2, 90), unit, np.tile(np.arange(3), 30), unit // 3
    found = alpha_of(*codes, seed=8, replicates=400)
    assert found.seed == 8
    drawn = []
    for weights in np.random.default_rng(8).multinomial(10, np.full(10, 0.1), size=400):
        rows = np.concatenate(
            [np.flatnonzero(codes[3] == p) for p in np.repeat(range(10), weights)]
        )
        copy = np.repeat(np.arange(10), 9)  # each draw of a prompt is a prompt of its own
        chosen = [codes[0][rows], copy * 100 + unit[rows], codes[2][rows], copy]
        drawn.append(float(alpha(coincidences(*chosen).units.sum(axis=0))))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx((low, high))


def study(rng, *, annotators, prompt_sd, careless_share):
    """Four votes by different people on 100 prompts; the careless toss a coin."""
    liking = rng.normal(0.4, prompt_sd, 100)
    careless = rng.random(annotators) < careless_share
    who = np.argsort(rng.random((100, annotators)), axis=1)[:, :4].ravel()
    prompt = np.repeat(np.arange(100), 4)
    chance = np.where(careless[who], 0.5, 1 / (1 + np.exp(-liking[prompt])))
    return (rng.random(400) < chance).astype(int), prompt, who, prompt


@pytest.mark.parametrize(
    ("people", "careless_share", "least_bootstrap", "most_bootstrap"),
    [(20, 0.0, 0.90, 0.98), (10, 0.25, 0.70, 0.90)],
)
def test_the_interval_covers_where_annotators_differ(
    people, careless_share, least_bootstrap, most_bootstrap
):
    """The truth is alpha of endless prompts and people; 300 studies (+- 2.5% at 95%).

    With p a prompt's chance that a vote of one who looks is for a, and q one of anybody:
    alpha = Var(E[q | prompt]) / (E q (1 - E q)) = (1 - c)^2 Var(p) / (m (1 - m)).
    """
    rng = np.random.default_rng(11)
    p = 1 / (1 + np.exp(-rng.normal(0.4, 1.5, 2_000_000)))
    mean = (1 - careless_share) * p.mean() + careless_share / 2
    truth = (1 - careless_share) ** 2 * p.var() / (mean * (1 - mean))
    covered = {"two-way": 0, "bootstrap": 0}
    for seed in range(300):
        codes = study(
            np.random.default_rng([7, seed]),
            annotators=people, prompt_sd=1.5, careless_share=careless_share,
        )  # fmt: skip
        found = alpha_of(*codes, replicates=200)
        covered["two-way"] += found.ci_low <= truth <= found.ci_high
        covered["bootstrap"] += found.bootstrap_low <= truth <= found.bootstrap_high
    assert 0.92 <= covered["two-way"] / 300 <= 0.99
    assert least_bootstrap <= covered["bootstrap"] / 300 <= most_bootstrap


# The table


def test_one_study_by_hand():
    rows = [
        ("ann", "p1", "q", "x", "y", "model_a"),
        ("bob", "p1", "q", "y", "x", "model_b"),  # x too, the other way round
        ("cleo", "p1", "q", "x", "y", "model_b"),
        ("ann", "p2", "q", "x", "y", "tie"),
        ("bob", "p2", "q", "x", "y", "tie"),
        ("cleo", "p3", "q", "x", "y", "both_bad"),  # alone
        ("bob", "p2", "q", "x", "y", "model_a"),  # his second on it
    ]
    found = agreement(comparisons(*rows)).set_index("measure")
    raw = found.loc["raw_agreement"]
    # p1: x x y, each x agrees with one of two others, y with none; p2: both agree.
    assert raw["estimate"] == pytest.approx((0.5 + 0.5 + 0 + 1 + 1) / 5)
    assert (raw["n"], raw["n_units"], raw["n_annotators"]) == (5, 2, 3)
    assert "2 of 7 votes have no other's beside them" in raw["method"]
    # Of 5 values x x y tie tie, 4 of 20 ordered pairs are alike: expected disagreement 0.8.
    assert found.loc["krippendorff_alpha", "estimate"] == pytest.approx(1 - 0.4 / 0.8)


def test_pairs_of_images_are_units_where_they_have_names():
    rows = [(who, "p", "q", "x", "y", "model_a") for who in ("ann", "bob")]
    seeds = comparisons(*rows, pair_id=["seed 0", "seed 1"])
    unknown = agreement(seeds).set_index("measure")
    assert unknown["n_units"].tolist() == [0, 0, 0]
    assert "no two annotators voted on the same" in unknown.loc["raw_agreement", "method"]
    same = agreement(seeds.assign(pair_id="")).set_index("measure").loc["raw_agreement"]
    assert (same["estimate"], same["n_units"]) == (1.0, 1)
    assert "prompts with two models, of any seed; no interval: every vote agrees" in same["method"]


def test_repeats_are_held_against_the_first_showing():
    rows = [
        ("ann", "p1", "q", "x", "y", "model_a", "main"),
        ("ann", "p2", "q", "x", "y", "tie", "main"),
        ("ann", "p3", "q", "x", "y", "model_a", "main"),
        ("bob", "p1", "q", "x", "y", "model_b", "main"),
        ("ann", "p1", "q", "y", "x", "model_b", "repeat"),  # x again
        ("ann", "p2", "q", "x", "y", "both_bad", "repeat"),  # no tie any more
        ("ann", "p3", "q", "x", "y", "model_b", "repeat"),
        ("bob", "p1", "q", "x", "y", "model_b", "repeat"),
        ("bob", "p9", "q", "x", "y", "model_b", "repeat"),  # its first showing has no vote
    ]
    frame = pd.DataFrame(rows, columns=[*NAMES, "kind"])
    repeats = agreement(frame).set_index("measure").loc["repeat_consistency"]
    assert repeats["estimate"] == pytest.approx(2 / 4)
    assert (repeats["n"], repeats["n_units"], repeats["n_annotators"]) == (4, 3, 2)
    # Repeats say nothing about agreement between people: p1 alone has two of them.
    assert agreement(frame).set_index("measure").loc["raw_agreement", "n"] == 2
    assert repeat_consistency(frame.head(4), np.arange(4)).n == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("ann", "p1", "tie"), ("bob", "p2", "tie")], "no two annotators voted on the same"),
        ([("ann", "p1", "tie"), ("bob", "p1", "tie")], "not estimated: every vote is the same"),
        ([("ann", "p1", "tie"), ("bob", "p1", "model_a")], "no interval: one prompt"),
        (
            [("ann", "p1", "tie"), ("bob", "p1", "model_a"), ("ann", "p2", "tie"),
             ("bob", "p2", "tie")],
            "no interval: two annotators, at least three",
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_is_said(rows, message):
    rows = [(who, prompt, "q", "x", "y", winner) for who, prompt, winner in rows]
    found = agreement(comparisons(*rows)).set_index("measure").loc["krippendorff_alpha"]
    assert message in found["method"]
    assert np.isnan(found["ci_low"])
    assert np.isnan(found["estimate"]) == message.startswith(("no two", "not est"))


def test_no_votes_give_an_empty_table():
    found = agreement(comparisons().astype(object))
    assert found.empty
    assert list(found.columns) == [c.name for c in tables.AGREEMENT.columns if c.required]


def a_study(seed, careless=()):
    """Twelve people, 20 prompts, three models; in a random order of rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in range(20):
        for first, second in (("x", "y"), ("x", "z"), ("y", "z")):
            for who in rng.permutation(12)[:4]:
                chance = [0.6, 0.2, 0.2] if who not in careless else [1 / 3] * 3
                winner = rng.choice(["model_a", "model_b", "tie"], p=chance)
                rows.append((f"a{who:02d}", f"p{prompt}", "q", first, second, str(winner)))
    return comparisons(*rows)


def numbers(frame):
    return frame.drop(columns=["method", "seed"]).set_index(["question_id", "measure"])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_names_order_and_sides_do_not_count(seed):
    votes = a_study(seed)
    before = numbers(agreement(votes, replicates=50))
    rng = np.random.default_rng(seed)
    swapped = rng.random(len(votes)) < 0.5
    turned = votes.copy()
    turned.loc[swapped, ["model_a", "model_b"]] = votes.loc[swapped, ["model_b", "model_a"]].values
    swap = {"model_a": "model_b", "model_b": "model_a"}
    turned.loc[swapped, "winner"] = votes.loc[swapped, "winner"].replace(swap)
    pd.testing.assert_frame_equal(numbers(agreement(turned, replicates=50)), before)
    figures = ["estimate", "ci_low", "ci_high", "n", "n_units", "n_annotators"]
    shuffled = votes.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(numbers(agreement(shuffled))[figures], before[figures])
    renamed = votes.assign(annotator_id="z" + votes["annotator_id"].str[::-1])
    pd.testing.assert_frame_equal(numbers(agreement(renamed, replicates=50)), before)


def test_votes_given_twice_add_nothing():
    votes = a_study(1)
    twice = pd.concat([votes, votes])
    once = numbers(agreement(votes))
    pd.testing.assert_frame_equal(numbers(agreement(twice)), once)


def test_each_question_for_itself():
    votes = pd.concat([a_study(1), a_study(2).assign(question_id="r")])
    both = numbers(agreement(votes))
    pd.testing.assert_frame_equal(
        both.loc[["r"]], numbers(agreement(a_study(2).assign(question_id="r")))
    )
    assert both.loc[("q", "raw_agreement"), "n"] == 240


def test_votes_set_aside_do_not_count():
    votes = a_study(4)
    aside = votes["annotator_id"].isin(["a00", "a01"])
    marked = votes.assign(excluded_by=np.where(aside, "blocked", ""))
    pd.testing.assert_frame_equal(numbers(agreement(marked)), numbers(agreement(votes[~aside])))
