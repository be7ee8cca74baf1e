"""Intervals: against reference values, statsmodels, and the coverage they promise."""

import csv

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from evalkit.analysis.intervals import holm, two_way_meat, two_way_share, wilson
from tests.reference import FOLDER, needs_reference, read_json


def test_wilson_agrees_with_statsmodels():
    for wins, n in [(0, 1), (1, 1), (3, 10), (61, 100), (999, 1000)]:
        expected = proportion_confint(wins, n, method="wilson")
        assert wilson(wins / n, n, stats.norm.ppf(0.975)) == pytest.approx(expected, abs=1e-12)


@needs_reference
def test_wilson_agrees_with_the_reference_grid():
    rows = list(csv.DictReader((FOLDER / "reference" / "wilson.csv").open()))
    assert len(rows) > 50
    for row in rows:
        wins, n, alpha = int(row["wins"]), int(row["n"]), float(row["alpha"])
        found = wilson(wins / n, n, stats.norm.ppf(1 - alpha / 2))
        assert found == pytest.approx((float(row["wilson_lo"]), float(row["wilson_hi"])), abs=1e-9)


def test_holm_agrees_with_the_textbook_and_statsmodels():
    # Four tests, sorted .005 .01 .03 .04: times 4, 3, 2, 1, then made monotone.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p_values = np.random.default_rng(0).random(20) ** 3
    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected, abs=1e-12)


def test_holm_leaves_an_unknown_p_out_of_the_family():
    adjusted = holm(np.array([0.02, np.nan, 0.03]))
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(adjusted[1])


def test_two_way_meat_by_hand():
    # Residuals 1, -1, 2 in prompts 0, 0, 1 by annotators 0, 1, 1, each cell once:
    # prompt sums 0 and 2 (4), annotator sums 1 and 1 (2), cells 1 + 1 + 4 (6); 4 + 2 - 6 = 0.
    scores = np.array([[1.0], [-1.0], [2.0]])
    prompt, annotator = np.array([0, 0, 1]), np.array([0, 1, 1])
    meat, floor = two_way_meat(scores, prompt, annotator, small_sample=False)
    assert (meat[0, 0], floor[0, 0]) == (0, 6)
    # With G / (G - 1): 4 * 2 + 2 * 2 - 6 * 3 / 2 = 3.
    meat, floor = two_way_meat(scores, prompt, annotator)
    assert (meat[0, 0], floor[0, 0]) == pytest.approx((3, 9))


@needs_reference
def test_standard_errors_agree_with_the_reference_votes():
    from evalkit import tables
    from evalkit.analysis.coding import encode
    from evalkit.analysis.intervals import cluster_meat

    votes = tables.read(FOLDER / "reference" / "votes_t2i.csv", tables.IMPORTED_VOTES)
    votes = votes[votes["question_id"] == "quality"]
    for row in read_json("votes_t2i_pairs.json")["quality"]:
        pair = votes[votes[["model_a", "model_b"]].isin([row["a"], row["b"]]).all(axis=1)]
        coded = encode(pair)
        residuals = (coded.points - coded.points.mean())[:, None]
        both, _ = two_way_meat(residuals, coded.prompt, coded.annotator, small_sample=False)
        by_prompt, _ = cluster_meat(residuals, coded.prompt)
        by_annotator, _ = cluster_meat(residuals, coded.annotator)
        found = np.sqrt([both[0, 0], by_prompt[0, 0], by_annotator[0, 0]]) / coded.n
        expected = [row["se_twoway"], row["se_prompt"], row["se_annotator"]]
        assert found == pytest.approx(expected, abs=1e-6)


def votes_of_a_study(rng, prompts, votes, annotators, prompt_sd, annotator_sd, share):
    """Points, prompts and annotators of one simulated study whose true win rate is `share`."""
    spread = np.sqrt(prompt_sd**2 + annotator_sd**2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    grid = np.linspace(-7, 7, 2801)
    means = expit(grid[:, None] + spread * nodes) @ weights / weights.sum()
    centre = np.interp(share, means, grid)
    prompt = np.repeat(np.arange(prompts), votes)
    seats = np.argsort(rng.random((prompts, annotators)), axis=1)[:, :votes]
    annotator = seats.ravel()
    logit = (
        centre
        + prompt_sd * rng.standard_normal(prompts)[prompt]
        + annotator_sd * rng.standard_normal(annotators)[annotator]
    )
    return (rng.random(prompts * votes) < expit(logit)).astype(float), prompt, annotator


def coverage(annotators, prompt_sd, annotator_sd, share=0.6, studies=1500):
    """Coverage and mean width of the default interval and of Wilson's on the votes."""
    rng = np.random.default_rng(20231128)
    covered, widths = np.zeros(2), np.zeros(2)
    for _ in range(studies):
        points, prompt, annotator = votes_of_a_study(
            rng, 100, 4, annotators, prompt_sd, annotator_sd, share
        )
        result = two_way_share(points, prompt, annotator)
        naive = wilson(points.mean(), len(points), 1.959964)
        for i, (low, high) in enumerate([(result.ci_low, result.ci_high), naive]):
            covered[i] += low <= share <= high
            widths[i] += high - low
    return covered / studies, widths / studies


def test_the_default_interval_covers_where_votes_share_prompts_and_annotators():
    covered, _ = coverage(annotators=20, prompt_sd=1, annotator_sd=0.6)
    assert 0.94 <= covered[0] <= 0.97
    assert covered[1] < 0.82  # Wilson on the votes: guards the simulation


def test_the_default_interval_is_not_wasteful_where_votes_are_independent():
    covered, widths = coverage(annotators=20, prompt_sd=0, annotator_sd=0)
    assert 0.945 <= covered[0] <= 0.985
    assert widths[0] <= 1.18 * widths[1]


def test_the_p_value_agrees_with_the_interval():
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(200):
        result = two_way_share(*votes_of_a_study(rng, 30, 3, 8, 0.5, 0.5, 0.6))
        outside = not result.ci_low <= 0.5 <= result.ci_high
        seen.add(outside)
        assert (result.p_value < 0.05) == outside
    assert seen == {True, False}


def test_what_cannot_be_known_is_said():
    one = np.zeros(4, dtype=int)
    four = np.arange(4)
    points = np.array([1.0, 0.0, 1.0, 1.0])
    by_one_person = two_way_share(points, four, one)
    assert by_one_person.estimate == 0.75
    assert np.isnan([by_one_person.ci_low, by_one_person.p_value]).all()
    assert "one annotator" in by_one_person.method
    assert "one prompt" in two_way_share(points, one, four).method
    assert "every vote is a tie" in two_way_share(np.full(4, 0.5), four, four).method
    halves = two_way_share(np.tile([1.0, 0.0], 8), four.repeat(4), np.tile(four.repeat(2), 2))
    assert np.isnan(halves.ci_low)
    assert "no variation between prompts or annotators" in halves.method
    nothing = two_way_share(np.array([]), one[:0], one[:0])
    assert np.isnan(nothing.estimate)
    assert nothing.n == 0


def test_a_unanimous_table_is_as_sure_as_one_with_a_dissent():
    annotator, prompt = np.tile(np.arange(12), 40), np.repeat(np.arange(40), 12)
    dissent = np.ones(480)
    dissent[7] = 0
    near = two_way_share(dissent, prompt, annotator)
    result = two_way_share(np.ones(480), prompt, annotator)
    assert (result.estimate, result.ci_high) == (1, 1)
    assert (result.ci_low, result.p_value) == pytest.approx((near.ci_low, near.p_value), rel=1e-9)
    assert "unanimous" in result.method
    mirrored = two_way_share(np.zeros(480), prompt, annotator)
    assert (mirrored.ci_low, mirrored.ci_high) == pytest.approx((0, 1 - near.ci_low))


def test_a_unanimous_table_does_not_depend_on_the_order_of_its_rows():
    rng = np.random.default_rng(2)
    prompt, annotator = rng.integers(8, size=30), rng.integers(5, size=30)
    order = rng.permutation(30)
    one = two_way_share(np.ones(30), prompt, annotator)
    other = two_way_share(np.ones(30), prompt[order], annotator[order])
    assert one.ci_low == pytest.approx(other.ci_low)


def test_intervals_cover_where_most_studies_are_unanimous():
    """A true rate of .995: 120 votes are unanimous in more than half of the studies."""
    rng = np.random.default_rng(4)
    covered, unanimous, studies = 0, 0, 600
    for _ in range(studies):
        result = two_way_share(*votes_of_a_study(rng, 30, 4, 8, 0.5, 0.5, 0.995))
        covered += result.ci_low <= 0.995 <= result.ci_high
        unanimous += result.estimate == 1
    assert unanimous > studies / 2
    assert covered / studies >= 0.95
