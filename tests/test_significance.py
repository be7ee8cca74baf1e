"""Tests of no preference: exact values by hand, the reference grids, scipy and statsmodels."""

import csv

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from evalkit.analysis.clusters import share_sums
from evalkit.analysis.significance import clustered_z, holm, sign_test, sign_test_of
from tests.reference import FOLDER, needs_reference, read_json


def test_holm_agrees_with_the_textbook_and_statsmodels():
    # Four tests, sorted .005 .01 .03 .04: times 4, 3, 2, 1, then made monotone.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p_values = np.random.default_rng(0).random(20) ** 3
    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected, abs=1e-12)


def test_holm_agrees_with_published_p_values():
    # The 15 p-values of Benjamini & Hochberg 1995 (thrombolysis in myocardial infarction): control
    # of the family-wise error rejects the first three at .05.
    p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
        0.5719, 0.6528, 0.7590, 1.0,
    ]  # fmt: skip
    adjusted = holm(np.array(p_values))
    assert (adjusted <= 0.05).sum() == 3
    assert adjusted[:3] == pytest.approx([15 * 0.0001, 14 * 0.0004, 13 * 0.0019])


@needs_reference
def test_holm_agrees_with_the_reference():
    for case in read_json("holm.json"):
        assert holm(np.array(case["p"])) == pytest.approx(case["holm"], rel=1e-9)


def test_holm_leaves_an_unknown_p_out_of_the_family():
    adjusted = holm(np.array([0.02, np.nan, 0.03]))
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(adjusted[1])


def test_the_sign_test_by_hand():
    # Eight of nine prompts ahead, two at one half: 2 (1 + 9) / 2^9 = 20 / 512.
    means = np.array([1, 0.75, 0.6, 0.9, 1, 1, 2 / 3, 0.8, 0.25, 0.5, 0.5])
    result = sign_test(means)
    assert result.p_value == pytest.approx(20 / 512)
    assert (result.n, result.estimate) == (9, 8 / 9)
    assert (result.ci_low, result.ci_high) == pytest.approx(proportion_confint(8, 9, method="beta"))


def test_the_sign_test_agrees_with_published_counts_of_christenings():
    # Arbuthnot 1710: more boys than girls were christened in London in each of 82 years; the
    # one-sided chance of that is 2^-82.
    assert sign_test_of(82, 0).p_value == pytest.approx(2 * 0.5**82, rel=1e-12)


@needs_reference
def test_the_sign_test_agrees_with_the_reference_grid():
    rows = list(csv.DictReader((FOLDER / "reference" / "sign_test.csv").open()))
    assert len(rows) > 40
    for row in rows:
        wins, n = int(row["wins"]), int(row["n"])
        assert sign_test_of(wins, n - wins).p_value == pytest.approx(float(row["p_two"]), rel=1e-9)


@needs_reference
def test_its_interval_agrees_with_the_reference_grid():
    for row in csv.DictReader((FOLDER / "reference" / "wilson.csv").open()):
        wins, n = int(row["wins"]), int(row["n"])
        result = sign_test_of(wins, n - wins, level=1 - float(row["alpha"]))
        expected = (float(row["cp_lo"]), float(row["cp_hi"]))
        assert (result.ci_low, result.ci_high) == pytest.approx(expected, abs=1e-9)


def test_the_sign_test_of_nothing_is_said():
    result = sign_test(np.full(5, 0.5))
    assert np.isnan([result.estimate, result.p_value]).all()
    assert (result.n, "no prompt" in result.method) == (0, True)


def test_the_clustered_z_with_a_vote_per_cluster_is_a_t_test():
    """Each vote its own prompt and annotator: V is s^2 / n, so it is the one-sample t test."""
    points = np.array([1.0, 0, 1, 1, 0.5, 1, 1, 0])
    own = np.arange(8)
    result = clustered_z(share_sums(points, own, own))
    expected = stats.ttest_1samp(points, 0.5)
    assert result.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (result.ci_low, result.ci_high) == pytest.approx((interval.low, interval.high))


def test_the_clustered_z_without_variance_is_said():
    one = np.zeros(4, dtype=int)
    result = clustered_z(share_sums(np.array([1.0, 0, 1, 1]), np.arange(4), one))
    assert result.estimate == 0.75
    assert np.isnan([result.ci_low, result.p_value]).all()
    assert "not tested" in result.method
