"""Intervals: against reference values and statsmodels; what has none is said."""

import csv

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from evalkit.analysis.clusters import share_sums
from evalkit.analysis.intervals import INTERVALS, share, share_from, two_way_share, wilson
from evalkit.analysis.significance import freedom_of, two_way_variance
from evalkit.errors import EstimateError
from tests.reference import FOLDER, needs_reference, read_json


def test_wilson_agrees_with_statsmodels():
    for wins, n in [(0, 1), (1, 1), (3, 10), (61, 100), (999, 1000)]:
        expected = proportion_confint(wins, n, method="wilson")
        assert wilson(wins / n, n, stats.norm.ppf(0.975)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_published_values(wins, n, low, high):
    """Newcombe 1998, Two-sided confidence intervals for the single proportion, table I."""
    assert wilson(wins / n, n, stats.norm.ppf(0.975)) == pytest.approx((low, high), abs=5e-5)


@needs_reference
def test_wilson_agrees_with_the_reference_grid():
    rows = list(csv.DictReader((FOLDER / "reference" / "wilson.csv").open()))
    assert len(rows) > 50
    for row in rows:
        wins, n, alpha = int(row["wins"]), int(row["n"]), float(row["alpha"])
        found = wilson(wins / n, n, stats.norm.ppf(1 - alpha / 2))
        assert found == pytest.approx((float(row["wilson_lo"]), float(row["wilson_hi"])), abs=1e-9)


def test_cluster_sums_by_hand():
    # Points 1, 0, 1 in prompts 0, 0, 1 by annotators 0, 1, 1: prompts have 1 of 2 and 1 of 1,
    # annotators 1 of 1 and 1 of 2, cells 1, 0 and 1 of 1 each.
    sums = share_sums(np.array([1.0, 0.0, 1.0]), np.array([0, 0, 1]), np.array([0, 1, 1]))
    assert (sums.n, sums.total) == (3, 2)
    prompts, annotators, cells = sums.prompts, sums.annotators, sums.cells
    assert (prompts.ss, prompts.sn, prompts.nn, prompts.count) == (2, 3, 5, 2)
    assert (annotators.ss, annotators.sn, annotators.nn, annotators.count) == (2, 3, 5, 2)
    assert (cells.ss, cells.sn, cells.nn, cells.count) == (2, 2, 3, 3)
    # At 2/3 the residuals of a prompt are -1/3 and 1/3 (2/9), of an annotator alike, of the cells
    # 1/3, -2/3 and 1/3 (6/9). With G / (G - 1): 4/9 + 4/9 - 9/9 < 0, so the floor 9/9 holds.
    assert prompts.meat(2 / 3) == pytest.approx(2 / 9)
    assert cells.corrected(2 / 3) == pytest.approx(1)
    assert two_way_variance(sums) == pytest.approx(1 / 9)


@pytest.mark.parametrize("seed", range(6))
def test_variances_agree_with_statsmodels(seed):
    """A mean is a regression on a constant; there its correction is G / (G - 1) for each part."""
    rng = np.random.default_rng(seed)
    points, prompt, annotator = votes_of_a_study(rng, 25, 4, 9, 1.5, 1.0, 0.6)
    sums = share_sums(points, prompt, annotator)

    def variance(groups):
        options = {"groups": groups, "use_correction": True}
        mean = OLS(points, np.ones(len(points))).fit(cov_type="cluster", cov_kwds=options)
        return mean.cov_params()[0, 0]

    both = variance(np.column_stack([prompt, annotator]))
    cells = variance(prompt * 9 + annotator)
    assert two_way_variance(sums) == pytest.approx(max(both, cells))
    assert both > cells  # so it is the sum that is compared, not the floor
    for part, groups in ((sums.prompts, prompt), (sums.annotators, annotator)):
        assert part.corrected(sums.share) / sums.n**2 == pytest.approx(variance(groups))


@needs_reference
def test_standard_errors_agree_with_the_reference_votes():
    from evalkit import tables
    from evalkit.analysis.coding import encode

    votes = tables.read(FOLDER / "reference" / "votes_t2i.csv", tables.IMPORTED_VOTES)
    votes = votes[votes["question_id"] == "quality"]
    for row in read_json("votes_t2i_pairs.json")["quality"]:
        pair = votes[votes[["model_a", "model_b"]].isin([row["a"], row["b"]]).all(axis=1)]
        coded = encode(pair)
        sums = share_sums(coded.points, coded.prompt, coded.annotator)
        parts = [part.meat(sums.share) for part in (sums.prompts, sums.annotators, sums.cells)]
        found = np.sqrt([parts[0] + parts[1] - parts[2], parts[0], parts[1]]) / coded.n
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


def test_the_p_value_agrees_with_the_interval():
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(200):
        result = two_way_share(*votes_of_a_study(rng, 30, 3, 8, 0.5, 0.5, 0.6))
        outside = not result.ci_low <= 0.5 <= result.ci_high
        seen.add(outside)
        assert (result.p_value < 0.05) == outside
    assert seen == {True, False}


def test_the_p_value_of_the_bootstrap_agrees_with_its_interval_too():
    points = np.repeat([1.0, 0.0], [38, 18])
    codes = np.arange(56)
    seen = set()
    for seed in range(60):
        result = share(points, codes, codes, "bootstrap", level=0.9, seed=seed, replicates=100)
        outside = not result.ci_low <= 0.5 <= result.ci_high
        seen.add(outside)
        assert (result.p_value < 0.1) == outside
    assert seen == {True, False}


def test_unequal_annotators_have_the_freedom_of_equal_ones():
    """Kish 1965: 10, 5 and 5 votes are worth 20^2 / (100 + 25 + 25) = 2.67 annotators."""
    prompt, annotator = np.arange(20), np.repeat([0, 1, 2], [10, 5, 5])
    points = np.array([1.0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 1, 1, 0])
    result = two_way_share(points, prompt, annotator)
    t = stats.t.ppf(0.975, 400 / 150 - 1)
    found = (result.ci_low, result.ci_high)
    assert found == pytest.approx(wilson(points.mean(), result.n_effective, t))
    equal = share_sums(points, prompt, np.tile(np.arange(4), 5))
    assert equal.annotators.effective(20) == 4  # exactly
    assert freedom_of(20, equal.prompts, equal.annotators) == 3


def test_one_annotator_with_nearly_all_votes_leaves_everything_open():
    points, prompt = np.tile([1.0, 1.0, 0.0], 400), np.arange(1200)
    result = two_way_share(points, prompt, (prompt == 0).astype(int))
    assert result.ci_low < 1e-6
    assert result.ci_high > 1 - 1e-6
    assert result.p_value > 0.9


def test_plain_wilson_has_an_interval_where_votes_cancel_within_cells():
    points, codes = np.tile([1.0, 0.0], 8), np.arange(16) // 2
    result = share(points, codes, codes, "wilson")
    expected = proportion_confint(8, 16, method="wilson")
    assert (result.ci_low, result.ci_high) == pytest.approx(expected, abs=1e-12)
    assert "no variation" in share(points, codes, codes).method
    ties = share(np.full(16, 0.5), codes, codes, "wilson")  # two ties in each cell
    assert ties.method == "no interval: every vote is a tie"


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


CLUSTERED = ("two-way", "by-prompt", "by-annotator")


def test_one_way_intervals_by_hand():
    # Points 3 of 4, 1 of 4 and 2 of 2 on three prompts, by three different annotators each.
    points = np.array([1.0, 1, 1, 0, 1, 0, 0, 0, 1, 1])
    prompt = np.repeat([0, 1, 2], [4, 4, 2])
    annotator = np.arange(10) % 5
    result = share(points, prompt, annotator, "by-prompt")
    # Residuals 3 - 2.4, 1 - 2.4, 2 - 1.2: .36 + 1.96 + .64 = 2.96, times 3 / 2, over 100.
    effective = 0.6 * 0.4 / (2.96 * 1.5 / 100)
    assert result.n_effective == pytest.approx(effective)
    # 4, 4 and 2 votes are worth 10^2 / (16 + 16 + 4) equal prompts: 2.78, one less for the mean.
    t = stats.t.ppf(0.975, 100 / 36 - 1)
    assert (result.ci_low, result.ci_high) == pytest.approx(wilson(0.6, effective, t))
    assert (result.n, result.n_prompts, result.n_annotators) == (10, 3, 5)
    by_prompt = share(points, annotator, prompt, "by-annotator")
    assert (by_prompt.ci_low, by_prompt.ci_high) == (result.ci_low, result.ci_high)


@pytest.mark.parametrize("interval", INTERVALS)
def test_every_interval_is_of_the_level_asked_for(interval):
    rng = np.random.default_rng(3)
    votes = votes_of_a_study(rng, 30, 4, 10, 0.5, 0.5, 0.6)
    narrow, usual, wide = (share(*votes, interval, level=level) for level in (0.8, 0.95, 0.99))
    assert wide.ci_low < usual.ci_low < narrow.ci_low < usual.estimate
    assert usual.estimate < narrow.ci_high < usual.ci_high < wide.ci_high
    assert (usual.n, usual.n_prompts, usual.n_annotators) == (120, 30, 10)


def test_plain_wilson_takes_votes_as_independent():
    points, codes = np.repeat([1.0, 0.0], [61, 39]), np.arange(100)
    result = share(points, codes, codes, "wilson")
    expected = proportion_confint(61, 100, method="wilson")
    assert (result.ci_low, result.ci_high) == pytest.approx(expected, abs=1e-12)
    assert result.p_value == pytest.approx(2 * stats.norm.sf(0.11 * 2 * 10))  # score test
    assert "independent" in result.method
    unanimous = share(np.ones(100), codes, codes, "wilson")
    assert unanimous.ci_low == pytest.approx(proportion_confint(100, 100, method="wilson")[0])


@pytest.mark.parametrize("interval", INTERVALS)
def test_no_interval_is_made_up(interval):
    one, four = np.zeros(4, dtype=int), np.arange(4)
    cases = [
        (np.array([]), one[:0], one[:0]),  # no votes
        (np.array([1.0]), one[:1], one[:1]),  # a single vote
        (np.full(4, 0.5), four, four),  # nothing but ties
    ]
    if interval != "wilson":
        cases.append((np.array([1.0, 0, 1, 1]), one, one))  # one prompt, one annotator
    for votes in cases:
        result = share(*votes, interval)
        assert np.isnan([result.ci_low, result.ci_high, result.p_value]).all()
        assert result.method.startswith(("no interval:", "not estimated:"))


@pytest.mark.parametrize("interval", CLUSTERED)
def test_unanimous_votes_have_a_bound_and_are_no_proof(interval):
    prompt, annotator = np.repeat(np.arange(6), 2), np.tile(np.arange(4), 3)
    won = share(np.ones(12), prompt, annotator, interval)
    lost = share(np.zeros(12), prompt, annotator, interval)
    assert (won.estimate, won.ci_high, lost.ci_low) == (1, 1, 0)
    assert 0.2 < won.ci_low < 1
    assert won.ci_low == pytest.approx(1 - lost.ci_high)
    assert 0 < won.p_value < 1
    assert "unanimous" in won.method


def test_the_dissent_of_a_unanimous_table_is_the_one_that_weighs_most():
    # Annotator 0 votes on prompts 0, 0 and 1, annotators 1 and 2 once each, on prompts 0 and 2.
    prompt, annotator = np.array([2, 0, 1, 0, 0]), np.array([2, 0, 0, 0, 1])
    assert share_sums(np.ones(5), prompt, annotator).heaviest == (3, 3, 2)
    turned = np.array([1.0, 0, 1, 1, 1])  # a vote of annotator 0 on prompt 0
    assert share(np.ones(5), prompt, annotator).ci_low == pytest.approx(
        two_way_share(turned, prompt, annotator).ci_low
    )


def test_a_unanimous_table_has_the_two_way_bound_under_the_bootstrap():
    prompt, annotator = np.repeat(np.arange(6), 2), np.tile(np.arange(4), 3)
    drawn = share(np.ones(12), prompt, annotator, "bootstrap")
    assert drawn == share(np.ones(12), prompt, annotator)


def test_sums_alone_give_the_same_interval():
    rng = np.random.default_rng(6)
    votes = votes_of_a_study(rng, 30, 4, 10, 0.5, 0.5, 0.6)
    for interval in (*CLUSTERED, "wilson"):
        assert share_from(share_sums(*votes), interval) == share(*votes, interval)


def test_an_unknown_interval_or_level_is_refused():
    sums = share_sums(np.array([1.0, 0.0]), np.arange(2), np.arange(2))
    with pytest.raises(EstimateError, match="interval: found wald"):
        share_from(sums, "wald")
    with pytest.raises(EstimateError, match="level: found 95"):
        share_from(sums, level=95)
