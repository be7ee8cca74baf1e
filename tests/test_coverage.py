"""Coverage: how often intervals hold the truth, in simulated studies whose truth is known.

Studies of 100 prompts with four votes each; votes share prompts and annotators. Bounds leave some
three standard errors of the simulation around what larger runs gave.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from evalkit.analysis.intervals import share, wilson
from evalkit.analysis.paired_models import fit
from evalkit.simulate import Population, SimulatedShares, gap_of, simulate_shares
from tests.paired_votes import clustered_study

STUDIES = 2500


@dataclass(frozen=True)
class Covered:
    """The share of studies whose interval holds the truth, and the mean width of the interval."""

    share: float
    width: float


def studies_of(annotators, prompt_sd, annotator_sd, share=0.6, studies=STUDIES, **options):
    gap = gap_of(share, Population(prompt_sd, annotator_sd, **options))
    return simulate_shares(
        gap, n_prompts=100, votes_per_prompt=4, n_annotators=annotators, studies=studies,
        seed=20231128, prompt_sd=prompt_sd, annotator_sd=annotator_sd, **options,
    )  # fmt: skip


def coverage(found: SimulatedShares, interval: str, studies: int = STUDIES) -> Covered:
    bounds = []
    for points, annotator in zip(found.points[:studies], found.annotator, strict=False):
        result = share(points, found.prompt, annotator, interval)
        bounds.append((result.ci_low, result.ci_high))
    low, high = np.array(bounds).T
    assert not np.isnan(low).any()
    return Covered(
        float(((low <= found.share) & (found.share <= high)).mean()), (high - low).mean()
    )


@pytest.fixture(scope="module")
def shared():
    """Both effects: 20 annotators, sd 1 between prompts and 0.6 between annotators."""
    return studies_of(20, 1.0, 0.6)


@pytest.fixture(scope="module")
def independent():
    return studies_of(20, 0.0, 0.0)


def test_the_default_covers_where_votes_share_prompts_and_annotators(shared):
    assert 0.94 <= coverage(shared, "two-way").share <= 0.97


def test_plain_wilson_does_not(shared):
    """Guards the simulation: without effects in it every interval would cover."""
    assert coverage(shared, "wilson").share < 0.82


def test_clusters_of_one_kind_are_not_enough(shared):
    by_prompt, by_annotator = (coverage(shared, way) for way in ("by-prompt", "by-annotator"))
    assert 0.83 <= by_prompt.share <= 0.89
    assert 0.90 <= by_annotator.share <= 0.95


def test_the_bootstrap_over_covers(shared):
    two_way = coverage(shared, "two-way", 400)
    drawn = coverage(shared, "bootstrap", 400)
    assert drawn.share >= 0.97
    assert drawn.width > 1.15 * two_way.width


def test_the_default_is_not_wasteful_where_votes_are_independent(independent):
    default, naive = coverage(independent, "two-way"), coverage(independent, "wilson")
    assert 0.95 <= default.share <= 0.985
    assert default.width <= 1.18 * naive.width
    assert 0.935 <= naive.share <= 0.97


def test_few_annotators_of_strong_tastes():
    found = studies_of(10, 0.5, 1.0)
    assert 0.935 <= coverage(found, "two-way").share <= 0.965
    assert coverage(found, "by-prompt").share < 0.6


def test_annotators_with_unequal_numbers_of_votes():
    """Votes per annotator as 1 / rank: 20 people are worth some 8, one vote on each prompt."""
    rng = np.random.default_rng(1)
    gap = gap_of(0.6, Population(0.5, 1.0))
    chances = 1 / np.arange(1, 21) / (1 / np.arange(1, 21)).sum()
    covered = {"effective": 0, "counted": 0}
    prompt, studies = np.arange(100), 1000
    for _ in range(studies):
        annotator = rng.choice(20, size=100, p=chances)
        effects = 0.5 * rng.standard_normal(100) + rng.standard_normal(20)[annotator]
        points = (rng.random(100) < expit(gap + effects)).astype(float)
        result = share(points, prompt, annotator)
        t = stats.t.ppf(0.975, result.n_annotators - 1)
        low, high = wilson(result.estimate, result.n_effective, t)
        covered["effective"] += result.ci_low <= 0.6 <= result.ci_high
        covered["counted"] += low <= 0.6 <= high
    assert 0.92 <= covered["effective"] / studies <= 0.965
    assert covered["counted"] / studies < 0.92


def test_prompts_alone():
    found = studies_of(20, 1.0, 0.0)
    assert 0.94 <= coverage(found, "two-way").share <= 0.97
    assert 0.935 <= coverage(found, "by-prompt").share <= 0.965


@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_other_rates_with_ties_and_carelessness(rate):
    found = studies_of(20, 1.0, 0.6, share=rate, tie_weight=0.5, careless_share=0.05)
    assert found.share == pytest.approx(rate)
    assert 0.935 <= coverage(found, "two-way").share <= 0.975


def test_the_p_value_is_right_where_there_is_no_preference():
    """Under 1/2 a p-value under .05 comes in 5% of studies; naively in four times as many."""
    found = studies_of(20, 1.0, 0.6, share=0.5, studies=1500)
    rejected = {
        way: np.mean(
            [
                share(points, found.prompt, annotator, way).p_value < 0.05
                for points, annotator in zip(found.points, found.annotator, strict=True)
            ]
        )
        for way in ("two-way", "wilson")
    }
    assert 0.03 <= rejected["two-way"] <= 0.065
    assert rejected["wilson"] > 0.17


def test_ratings_cover_where_votes_share_prompts_and_annotators():
    rng = np.random.default_rng(17)
    truth = np.array([0.6, 0.1, -0.2, -0.5])
    covered = {"two-way": [], "independent": []}
    for _ in range(400):
        fitted = fit(clustered_study(rng, truth))
        t = stats.t.ppf(0.975, min(fitted.n_prompts, fitted.n_annotators) - 1)
        off = np.abs(fitted.strengths - truth)
        errors = np.sqrt([fitted.variance(row) for row in np.eye(4) - 1 / 4])
        covered["two-way"].append(off <= t * errors)
        covered["independent"].append(off <= 1.96 * np.sqrt(np.diag(fitted.bread)))
    assert 0.93 <= np.mean(covered["two-way"]) <= 0.975
    assert np.mean(covered["independent"]) < 0.9
