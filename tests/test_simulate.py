"""Simulated votes follow the population model that they state, one by one and by the table."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from scipy.special import expit

from evalkit import tables
from evalkit.errors import EvalkitError
from evalkit.simulate import (
    Population,
    SimulatedAnnotator,
    Way,
    choice_weights,
    expected_share,
    gap_of,
    parse_strengths,
    plant,
    simulate_comparisons,
    simulate_shares,
)
from evalkit.simulate.choices import LEFT, RIGHT, TIE, draw_choices, draw_different
from evalkit.simulate.times import response_times
from tests.study_factory import make_prompts

STUDY = {"n_prompts": 100, "votes_per_prompt": 4, "n_annotators": 20}
TWO = {"x": 0.5, "y": 0.0}


# ---- one vote


def test_weights_are_davidsons():
    # exp(1) : exp(0) : 0.5 * exp(0.5)
    raw = np.array([np.e, 1.0, 0.5 * np.exp(0.5)])
    assert choice_weights(np.float64(1.0), 0.5) == pytest.approx(raw / raw.sum())
    assert choice_weights(np.float64(1.0), 0) == pytest.approx(
        [np.e / (1 + np.e), 1 / (1 + np.e), 0]
    )


def test_weights_of_any_gap_are_finite():
    left, right, tie = choice_weights(np.array([2000.0, -2000.0, 0.0]), 1.0)
    assert left.tolist() == [1, 0, 1 / 3]
    assert right.tolist() == [0, 1, 1 / 3]
    assert tie.tolist() == [0, 0, 1 / 3]


def one_by_one(uniform, gaps, way, line, people):
    """The same choices from the same numbers, in plain words."""
    choices = []
    for i, gap in enumerate(gaps):
        looked, blind, careless = (float(row[i]) for row in uniform)
        g = gap + people.left_bias
        weights = [np.exp(g / 2), np.exp(-g / 2), people.tie_weight]
        buttons = 3 if people.tie_weight else 2
        if way[i] == Way.STRAIGHT_LINES:
            choices.append(line[i])
        elif way[i] == Way.SPEEDS or careless < people.careless_share:
            choices.append(int(blind * buttons))
        else:
            bounds = np.cumsum(weights) / np.sum(weights)
            choices.append(next(c for c in range(3) if looked < bounds[c]))
    return choices


@pytest.mark.parametrize("tie_weight", [0.0, 0.5])
def test_many_votes_at_once_are_the_votes_one_by_one(tie_weight):
    people = Population(tie_weight=tie_weight, left_bias=0.4, careless_share=0.3)
    n = 2000
    rng = np.random.default_rng(5)
    gaps, way, line = rng.normal(0, 2, n), rng.integers(3, size=n), rng.integers(2, size=n)
    at_once = draw_choices(np.random.default_rng(9), gaps, way, line, people)
    uniform = np.random.default_rng(9).random((3, n))
    assert at_once.tolist() == one_by_one(uniform, gaps, way, line, people)
    assert set(at_once.tolist()) == ({0, 1, 2} if tie_weight else {0, 1})


def test_no_tie_where_the_question_offers_none():
    n = 500
    looks = np.full(n, Way.LOOKS)
    people = Population(tie_weight=5.0, careless_share=0.5)
    rng = np.random.default_rng(0)
    choice = draw_choices(rng, np.zeros(n), looks, looks, people, (LEFT, RIGHT))
    assert TIE not in choice
    offered = SimulatedAnnotator(people, ["q"], ["x"], np.random.default_rng(1))
    assert {offered.vote(0.0, ("left", "right")).choice for _ in range(200)} == {"left", "right"}
    assert "tie" in {offered.vote(0.0, ("left", "right", "tie")).choice for _ in range(200)}


def test_an_annotator_votes_as_the_table_does():
    """Shares of left, right, tie of single votes and of a table, of the same population."""
    people = Population(tie_weight=0.4, left_bias=0.3, careless_share=0.1)
    ann = SimulatedAnnotator(people, ["quality"], ["x", "y"], np.random.default_rng(2))
    single = [ann.vote(0.0).choice for _ in range(12_000)]
    table = simulate_comparisons(
        {"x": 0.0, "y": 0.0}, n_prompts=3000, votes_per_prompt=4, n_annotators=40, seed=3,
        tie_weight=0.4, left_bias=0.3, careless_share=0.1,
    )  # fmt: skip
    won = table["winner"].map({"model_a": "x", "model_b": "y"})
    is_left = won == table["left_model"]
    shares = [is_left.mean(), ((table["winner"] != "tie") & ~is_left).mean()]
    # 0.9 * exp(.15) / (exp(.15) + exp(-.15) + .4) + .1 / 3 = .4649; right: .3527
    total = np.exp(0.15) + np.exp(-0.15) + 0.4
    expected = [0.9 * np.exp(s * 0.15) / total + 0.1 / 3 for s in (1, -1)]
    # 4 standard errors of a share of 12,000 votes: 4 * sqrt(.25 / 12000) = .018
    assert [single.count(c) / 12_000 for c in ("left", "right")] == pytest.approx(
        expected, abs=0.018
    )
    assert shares == pytest.approx(expected, abs=0.018)


def test_tastes_are_drawn_for_each_question_and_model():
    people = Population(annotator_sd=2.0)
    gaps = []
    for seed in range(800):
        ann = SimulatedAnnotator(people, ["p", "q"], ["x", "y"], np.random.default_rng(seed))
        gaps.append([ann.tastes[q, "x"] - ann.tastes[q, "y"] for q in ("p", "q")])
    # the sd of a sample sd of 800 normal numbers is 2 / sqrt(1600) = .05
    assert np.std(gaps, axis=0) == pytest.approx([2.0, 2.0], abs=0.2)
    assert abs(np.corrcoef(np.transpose(gaps))[0, 1]) < 0.15


def test_those_who_do_not_look():
    people = Population(straight_lining_share=0.3, speeding_share=0.2)
    rng = [np.random.default_rng(seed) for seed in range(600)]
    everybody = [SimulatedAnnotator(people, ["q"], ["x"], each) for each in rng]
    ways = [ann.way for ann in everybody]
    # 4 * sqrt(.3 * .7 / 600) = .075
    assert ways.count(Way.STRAIGHT_LINES) / 600 == pytest.approx(0.3, abs=0.075)
    assert ways.count(Way.SPEEDS) / 600 == pytest.approx(0.2, abs=0.075)
    lines = []
    for ann in everybody:
        votes = [ann.vote(9.0, wait_ms=500) for _ in range(20)]
        choices = [vote.choice for vote in votes]
        if ann.way == Way.STRAIGHT_LINES:
            assert len(set(choices)) == 1
            lines.append(choices[0])
        elif ann.way == Way.SPEEDS:
            assert set(choices) == {"left", "right"}
            assert np.median([vote.response_ms for vote in votes]) < 1000
        else:
            assert choices.count("right") <= 1
            assert min(vote.response_ms for vote in votes) >= 1500
    assert lines.count("left") / len(lines) == pytest.approx(0.5, abs=0.15)


def test_times_have_the_mean_that_is_stated_and_its_least():
    people = Population(seconds_per_vote=6.0)
    rng = np.random.default_rng(0)
    took = response_times(rng, np.zeros(40_000, dtype=bool), people)
    # sd of the mean: 6000 * sqrt(exp(.45^2) - 1) / sqrt(40000) = 14 ms
    assert took.mean() == pytest.approx(6000, abs=70)
    assert took.min() >= 1500
    waited = response_times(rng, np.zeros(400, dtype=bool), people, wait_ms=9000)
    assert waited.min() == 9000


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"prompt_sd": -1.0}, "prompt_sd = -1; allowed is 0 or more"),
        ({"annotator_sd": float("nan")}, "annotator_sd = nan"),
        ({"tie_weight": float("inf")}, "tie_weight = inf"),
        ({"left_bias": float("nan")}, "left_bias = nan; allowed is any number"),
        ({"careless_share": 1.5}, "careless_share = 1.5; allowed is 0 to 1"),
        ({"seconds_per_vote": 0.0}, "seconds_per_vote = 0; allowed is a number above 0 and up to"),
        ({"seconds_per_vote": 1e308}, "seconds_per_vote = 1e.308; allowed is .* and up to 3600"),
        ({"straight_lining_share": 0.6, "speeding_share": 0.6}, "more than all annotators"),
    ],
)
def test_a_population_out_of_range_is_refused(value, said):
    with pytest.raises(EvalkitError, match=said):
        Population(**value)


# ---- what is true of a population


def test_the_expected_share_without_effects_is_arithmetic():
    assert expected_share(1.0, Population()) == pytest.approx(expit(1))
    # ties half: (exp(.5) + .5 / 2) / (exp(.5) + exp(-.5) + .5)
    tied = (np.exp(0.5) + 0.25) / (np.exp(0.5) + np.exp(-0.5) + 0.5)
    assert expected_share(1.0, Population(tie_weight=0.5)) == pytest.approx(tied)
    # two in ten votes are a coin, and so is all that a quarter of the annotators do:
    # looked at are .8 * .75 = .6 of the votes
    people = Population(careless_share=0.2, straight_lining_share=0.15, speeding_share=0.1)
    assert expected_share(1.0, people) == pytest.approx(0.6 * expit(1) + 0.2)
    biased = (expit(1 + 0.7) + expit(1 - 0.7)) / 2
    assert expected_share(1.0, Population(left_bias=0.7)) == pytest.approx(biased)


def test_the_expected_share_with_effects_is_the_integral():
    people = Population(prompt_sd=1.0, annotator_sd=0.6, tie_weight=0.4)
    sd = np.hypot(1.0, 0.6)

    def integrand(z):
        weights = np.exp([(0.8 + sd * z) / 2, -(0.8 + sd * z) / 2])
        return stats.norm.pdf(z) * (weights[0] + 0.2) / (weights.sum() + 0.4)

    exact = integrate.quad(integrand, -12, 12, epsabs=1e-12)[0]
    assert expected_share(0.8, people) == pytest.approx(exact, abs=1e-9)


def test_the_gap_leads_back_to_the_share():
    people = Population(prompt_sd=1.0, annotator_sd=0.6, tie_weight=0.3, careless_share=0.05)
    assert expected_share(gap_of(0.6, people), people) == pytest.approx(0.6, abs=1e-10)
    assert gap_of(0.5, people) == pytest.approx(0, abs=1e-9)
    with pytest.raises(EvalkitError, match=r"no gap .* of 0.95 .* allowed are 0.2\d+ to 0.7\d+"):
        gap_of(0.95, Population(careless_share=0.5, annotator_sd=1.0))


# ---- many studies in numbers


def test_different_seats_come_equally_often():
    drawn = draw_different(np.random.default_rng(0), (24_000,), 2, 4)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    counts = np.bincount(4 * drawn[:, 0] + drawn[:, 1], minlength=16)
    counts = counts[counts > 0]  # 12 ordered pairs of different numbers
    assert len(counts) == 12
    assert stats.chisquare(counts).pvalue > 1e-3
    assert (
        np.sort(draw_different(np.random.default_rng(1), (3, 2), 5, 5)).tolist()
        == [[[0, 1, 2, 3, 4]] * 2] * 3
    )


def test_shares_have_the_moments_of_the_model():
    """E(x) over all votes, E(x x') over two votes on one prompt and over two by one annotator."""
    sp, sa, gap = 1.5, 0.8, 0.7
    drawn = simulate_shares(
        gap, n_prompts=40, votes_per_prompt=2, n_annotators=40, studies=3000, seed=1,
        prompt_sd=sp, annotator_sd=sa,
    )  # fmt: skip
    x = drawn.points

    def product(shared, own):
        """E of the product of two votes that share one effect and have another of their own."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        weights = weights / weights.sum()
        inner = expit(gap + shared * nodes[:, None] + own * nodes) @ weights
        return float(weights @ inner**2)

    # studies are independent; 3,000 of them give a standard error of about .002
    assert x.mean() == pytest.approx(drawn.share, abs=0.006)
    same_prompt = (x[:, 0::2] * x[:, 1::2]).mean()
    assert same_prompt == pytest.approx(product(sp, sa), abs=0.008)
    one = drawn.annotator == 0
    n = one.sum(axis=1)
    total = (x * one).sum(axis=1)
    same_annotator = (total**2 - (x**2 * one).sum(axis=1)).sum() / (n * (n - 1)).sum()
    assert same_annotator == pytest.approx(product(sa, sp), abs=0.02)
    # without effects both would be share^2
    assert product(sp, sa) - drawn.share**2 > 0.03


def test_each_prompt_is_seen_by_different_annotators():
    drawn = simulate_shares(0.0, **STUDY, studies=50, seed=1)
    seats = drawn.annotator.reshape(50, 100, 4)
    assert (np.diff(np.sort(seats, axis=-1)) > 0).all()
    assert drawn.prompt.tolist() == np.repeat(np.arange(100), 4).tolist()
    assert set(np.unique(seats)) == set(range(20))


def test_the_left_gains_by_its_bias():
    drawn = simulate_shares(0.0, **STUDY, studies=100, seed=2, left_bias=np.log(3))
    left_won = np.where(drawn.first_left, drawn.points, 1 - drawn.points)
    # exp(log 3) = 3 : 1; 4 * sqrt(.75 * .25 / 40000) = .009
    assert left_won.mean() == pytest.approx(0.75, abs=0.009)
    assert drawn.first_left.mean() == pytest.approx(0.5, abs=0.01)
    assert drawn.share == pytest.approx(0.5)


def test_shares_by_seed():
    def points(seed):
        return simulate_shares(
            0.3, **STUDY, studies=5, seed=seed, prompt_sd=1, tie_weight=0.3
        ).points

    assert np.array_equal(points(1), points(1))
    assert not np.array_equal(points(1), points(2))


# ---- a table of comparisons


def test_a_table_is_whole_and_labelled():
    frame = simulate_comparisons(
        {"z": 0.0, "x": 1.0, "y": 0.5},
        **STUDY,
        seed=1,
        tie_weight=0.4,
        questions=("quality", "fit"),
    )
    assert len(frame) == 2 * 3 * 100 * 4
    checked = tables.check(frame, tables.COMPARISONS, "simulated")
    assert (checked["vote_source"] == tables.SIMULATED).all()
    assert (frame["model_a"] < frame["model_b"]).all()
    assert (
        (frame["left_model"] == frame["model_a"]) | (frame["left_model"] == frame["model_b"])
    ).all()
    cells = frame.groupby(["question_id", "model_a", "model_b", "prompt_id"])["annotator_id"]
    assert cells.nunique().tolist() == [4] * 600
    assert set(frame["winner"]) == {"model_a", "model_b", "tie"}


def test_a_table_has_the_shares_of_its_strengths():
    strengths = {"x": 1.0, "y": 0.2, "z": -0.5}
    frame = simulate_comparisons(
        strengths, n_prompts=2000, votes_per_prompt=3, n_annotators=400, seed=4, prompt_sd=1.0,
        annotator_sd=0.5, tie_weight=0.3, left_bias=0.5, careless_share=0.1,
    )  # fmt: skip
    points = frame["winner"].map({"model_a": 1.0, "model_b": 0.0, "tie": 0.5})
    people = Population(1.0, 0.5, 0.3, 0.5, 0.1)
    for (a, b), mean in points.groupby([frame["model_a"], frame["model_b"]]).mean().items():
        # sd of a vote at most .5, design effect under 2: 4 * .5 * sqrt(2 / 6000) = .037
        assert mean == pytest.approx(expected_share(strengths[a] - strengths[b], people), abs=0.037)


def test_unseeing_annotators_of_a_table():
    frame = simulate_comparisons(
        TWO, n_prompts=400, votes_per_prompt=5, n_annotators=40, seed=6, straight_lining_share=0.2,
        speeding_share=0.2,
    )  # fmt: skip
    won = np.where(frame["winner"] == "model_a", frame["model_a"], frame["model_b"])
    left = (won == frame["left_model"]).groupby(frame["annotator_id"]).mean()
    took = frame.groupby("annotator_id")["response_ms"].median()
    straight, fast = left.isin([0, 1]), took < 1000
    assert not (straight & fast).any()
    # 40 draws with .2 each: 3 to 14 with a chance of .99
    assert 3 <= straight.sum() <= 14
    assert 3 <= fast.sum() <= 14


def test_tables_by_seed():
    def table(seed):
        return simulate_comparisons(TWO, **STUDY, seed=seed, prompt_sd=1, careless_share=0.1)

    assert table(1).equals(table(1))
    assert not table(1)["winner"].equals(table(2)["winner"])


def test_nothing_to_vote_on_gives_no_rows():
    sizes = {"votes_per_prompt": 1, "n_annotators": 1, "seed": 0}
    for empty in (
        simulate_comparisons(TWO, n_prompts=0, **sizes),
        simulate_comparisons(TWO, n_prompts=3, **sizes, questions=()),
    ):
        assert empty.empty
        assert set(tables.COMPARISONS.empty()) <= set(empty)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"strengths": {"x": 0.0}}, "strengths of 1 model; a comparison needs two"),
        ({"n_annotators": 3}, "n_annotators = 3, and each prompt needs votes of 4"),
        ({"votes_per_prompt": 0}, "votes_per_prompt = 0; allowed is 1 or more"),
        ({"n_prompts": -1}, "n_prompts = -1; allowed is 0 or more"),
        ({"left_bias": float("inf")}, "left_bias = inf"),
    ],
)
def test_impossible_tables_are_refused(changed, said):
    with pytest.raises(EvalkitError, match=said):
        simulate_comparisons(**{"strengths": TWO, **STUDY, "seed": 0, **changed})


# ---- strengths


def test_strengths_are_the_same_for_all_questions_or_stated_for_each():
    same = parse_strengths({"x": 1}, ["p", "q"], ["x", "y"], "here")
    assert same == {"p": {"x": 1.0, "y": 0.0}, "q": {"x": 1.0, "y": 0.0}}
    by_question = parse_strengths({"q": {"y": -0.5}}, ["p", "q"], ["x", "y"], "here")
    assert by_question == {"p": {"x": 0.0, "y": 0.0}, "q": {"x": 0.0, "y": -0.5}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lmc": 1}, 'here: unknown model "lmc"; the study has lcm, sd-1.5; did you mean "lcm"?'),
        ({"qualty": {"lcm": 1}}, 'unknown question "qualty"; the study has quality; did you mean'),
        ({"lcm": 1, "quality": {"lcm": 1}}, 'a number for "lcm" stands beside the table'),
        ({"lcm": "strong"}, "the strength of lcm is 'strong'; allowed is a number"),
        ({"lcm": True}, "the strength of lcm is True"),
        ({"lcm": float("nan")}, "the strength of lcm is nan"),
        ({"sd-1": {"5": 0.3}}, 'a name with a dot stands in quotes: "sd-1.5"'),
    ],
)
def test_mistakes_in_strengths_are_one_sentence(given, said):
    with pytest.raises(EvalkitError) as error:
        parse_strengths(given, ["quality"], ["lcm", "sd-1.5"], "here")
    assert said in str(error.value)


def test_a_prompt_moves_all_its_images_of_a_model_alike():
    prompts = make_prompts(900)["prompt_id"]
    rows = [(f"{m}{s}{p}", p, m) for m in "xyz" for s in (0, 1) for p in prompts]
    images = pd.DataFrame(rows, columns=["image_id", "prompt_id", "model"])
    strengths = {"q": {"x": 1.0, "y": 0.0, "z": -1.0}}
    planted = plant(strengths, images, prompt_sd=1.2, seed=3)
    assert all(planted["q", f"x0{p}"] == planted["q", f"x1{p}"] for p in prompts)
    gaps = [planted["q", f"x0{p}"] - planted["q", f"z0{p}"] for p in prompts]
    # 4 standard errors: of the mean 4 * 1.2 / 30 = .16, of the sd 4 * 1.2 / sqrt(1800) = .11
    assert np.mean(gaps) == pytest.approx(2.0, abs=0.16)
    assert np.std(gaps) == pytest.approx(1.2, abs=0.11)
    assert plant(strengths, images.sample(frac=1, random_state=0), 1.2, 3) == planted
    assert plant(strengths, images, 0.0, 3)["q", "z1p000"] == -1.0
