"""Ranks: Holm by hand, and the chance of a wrong rank over many simulated studies."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from evalkit.analysis.coding import encode
from evalkit.analysis.paired_models import fit
from evalkit.analysis.ranks import ranks
from evalkit.analysis.ratings import _compared
from tests.paired_votes import clustered_study, random_votes


def made(strengths, variance):
    """A fit with these strengths, independent and alike in variance."""
    fitted = fit(encode(random_votes(1, models=len(strengths))))
    square = np.eye(len(strengths)) * variance
    return replace(fitted, parameters=np.array(strengths), covariance=square, floor=square / 2)


def test_what_is_far_apart_is_told_apart():
    found = ranks(made([1.0, 0.9, -0.5, -1.4], 0.005), np.full((4, 4), 50))
    # Differences have sd .1: .1 apart is one sd, .9 and more is nine.
    assert found.low.tolist() == [1, 1, 3, 4]
    assert found.high.tolist() == [2, 2, 3, 4]
    assert found.tied_for_first.tolist() == [True, True, False, False]


def test_it_is_holm_over_all_ordered_pairs():
    fitted = fit(encode(random_votes(21, n=900, models=5)))
    freedom = np.minimum.outer([7, 7, 5, 7, 6], [7, 7, 5, 7, 6])
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    p_values = []
    for i, j in pairs:
        contrast = np.eye(5)[i] - np.eye(5)[j]
        statistic = contrast @ fitted.strengths / np.sqrt(fitted.variance(contrast))
        p_values.append(stats.t.sf(statistic, freedom[i, j]))
    shown = multipletests(p_values, alpha=0.05, method="holm")[0]
    low, high = np.ones(5), np.full(5, 5)
    for (i, j), is_better in zip(pairs, shown, strict=True):
        low[j] += is_better
        high[i] -= is_better
    found = ranks(fitted, freedom)
    assert found.low.tolist() == low.tolist()
    assert found.high.tolist() == high.tolist()
    assert 0 < shown.sum() < 10  # some pairs are decided and some are not


def test_no_overlap_rule():
    """Intervals of two ratings may overlap where their difference is shown: that is no test."""
    fitted = made([0.2, -0.2], 0.005)
    shared = np.array([[0.105, 0.1], [0.1, 0.105]])  # what both share takes no part in differences
    fitted = replace(fitted, covariance=shared, floor=shared)
    half = stats.t.ppf(0.975, 50) * np.sqrt(0.105)
    assert 0.2 - half < -0.2 + half
    assert ranks(fitted, np.full((2, 2), 50)).high.tolist() == [1, 2]


def test_a_pair_that_cannot_be_tested_is_open():
    fitted = made([2.0, 0.0, -2.0], 0.001)
    found = ranks(fitted, np.array([[30, 30, 0], [30, 30, 0], [0, 0, 0]]))
    assert found.low[:2].tolist() == [1, 2]
    assert found.high[:2].tolist() == [2, 3]
    assert np.isnan(found.low[2])
    still = ranks(
        replace(fitted, covariance=0 * fitted.covariance, floor=0 * fitted.floor),
        np.full((3, 3), 30),
    )
    assert np.isnan(still.low).all()


@pytest.mark.parametrize(
    "truth", [[0.0, 0.0, 0.0, 0.0], [0.4, 0.4, -0.3, -0.5]], ids=["all alike", "two tied first"]
)
def test_the_chance_of_any_wrong_rank_is_held(truth):
    """Family-wise: in at most 5% of studies may any model's true rank lie outside its range."""
    rng = np.random.default_rng(7)
    truth, studies, wrong, naive = np.array(truth), 400, 0, 0
    lowest = 1 + (truth[None, :] > truth[:, None]).sum(axis=1)
    highest = len(truth) - (truth[None, :] < truth[:, None]).sum(axis=1)
    for _ in range(studies):
        votes = clustered_study(rng, truth, prompts=40, annotators=16)
        fitted = fit(votes)
        found = ranks(fitted, _compared(votes).of_differences(fitted.bread))
        wrong += ((found.low > lowest) | (found.high < highest)).any()
        gaps = fitted.strengths[:, None] - fitted.strengths[None, :]
        plain = gaps > 1.645 * np.sqrt(fitted.difference_variances() + 1e-12)
        naive += (plain & (truth[:, None] <= truth[None, :])).any()
    # 5% of 400 is 20; a binomial of that chance exceeds 30 once in a hundred.
    assert wrong <= 30
    assert naive > 40  # uncorrected tests: guards the simulation
