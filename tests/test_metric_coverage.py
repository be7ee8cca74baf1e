"""Metrics against simulated people whose accuracy is known, and how often intervals hold it."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from evalkit.analysis.intervals import wilson
from evalkit.analysis.metric_accuracy import accuracy, auc, placements
from evalkit.analysis.other_votes import ceiling
from evalkit.simulate.choices import draw_different
from tests.metric_study import judged

STUDIES = 1200


def chances(rng, lead, annotator, slope, prompt_sd, annotator_sd):
    """Log-odds of the first image: a lead as each annotator sees it, and what a prompt adds."""
    sharp = slope * np.exp(annotator_sd * rng.standard_normal(annotator))
    return lead, sharp, prompt_sd * rng.standard_normal(lead.shape)


def truth(slope, prompt_sd, annotator_sd, n=1_000_000):
    """Accuracy and AUC of votes that share neither prompts nor annotators."""
    rng = np.random.default_rng(99)
    lead, sharp, likes = chances(rng, rng.standard_normal(n), n, slope, prompt_sd, annotator_sd)
    winner = np.where(rng.random(n) < expit(sharp * lead + likes), lead, -lead)
    return float((winner > 0).mean()), float(placements(winner).mean())


def studies_of(annotators, prompts, votes, slope, prompt_sd, annotator_sd, studies=STUDIES):
    """Studies of one pair of models: a pair of images per prompt, votes by different people."""
    rng = np.random.default_rng(5)
    prompt = np.repeat(np.arange(prompts), votes)
    for _ in range(studies):
        who = draw_different(rng, (prompts,), votes, annotators)
        lead, sharp, likes = chances(
            rng, rng.standard_normal(prompts), annotators, slope, prompt_sd, annotator_sd
        )
        won = rng.random(who.shape) < expit(sharp[who] * lead[:, None] + likes[:, None])
        yield judged(np.repeat(lead, votes), won.ravel(), prompt, who.ravel())


def coverage(studies, true_accuracy, true_auc):
    """Shares of studies whose intervals hold the truth: two-way, and of independent votes."""
    held = {"accuracy": [], "auc": [], "wilson": [], "delong": []}
    for found in studies:
        right, area = accuracy(found), auc(found)
        low, high = wilson(right.estimate, right.n, 1.96)
        spread = placements(found.winner_lead).std(ddof=1) * 2 / np.sqrt(right.n)
        held["accuracy"].append(right.ci_low <= true_accuracy <= right.ci_high)
        held["auc"].append(area.ci_low <= true_auc <= area.ci_high)
        held["wilson"].append(low <= true_accuracy <= high)
        held["delong"].append(abs(area.estimate - true_auc) <= 1.96 * spread)
    return {name: float(np.mean(found)) for name, found in held.items()}


@pytest.mark.parametrize(
    ("annotators", "prompts", "slope", "prompt_sd", "annotator_sd"),
    [(20, 100, 1.0, 1.0, 0.6), (10, 60, 1.0, 1.0, 1.0), (10, 100, 2.0, 0.5, 1.0)],
)
def test_intervals_cover_where_votes_share_prompts_and_annotators(
    annotators, prompts, slope, prompt_sd, annotator_sd
):
    known = truth(slope, prompt_sd, annotator_sd)
    found = coverage(studies_of(annotators, prompts, 4, slope, prompt_sd, annotator_sd), *known)
    assert 0.93 <= found["accuracy"] <= 0.98
    assert 0.93 <= found["auc"] <= 0.98
    assert found["wilson"] < 0.87  # guards the simulation: without effects these would cover
    assert found["delong"] < 0.87


def test_intervals_are_not_wasteful_where_votes_are_independent():
    """One vote per pair of images, annotators alike: what others publish covers as well."""
    found = coverage(studies_of(20, 200, 1, 1.0, 0.0, 0.0), *truth(1.0, 0.0, 0.0))
    assert 0.94 <= found["accuracy"] <= 0.985
    assert 0.94 <= found["auc"] <= 0.985
    assert 0.93 <= found["wilson"] <= 0.97
    assert 0.93 <= found["delong"] <= 0.97


def test_votes_from_a_known_metric_have_its_known_accuracy_and_auc():
    """Probit votes: with lead d ~ N(0, 1) and noise N(0, s^2) the accuracy is known exactly.

    The chance that d and d + noise have the same sign is 1/2 + arcsin(1 / sqrt(1 + s^2)) / pi.
    The winner's lead is |d| times the sign of a vote; its AUC follows by integration over d.
    """
    rng = np.random.default_rng(8)
    n, noise = 40_000, 1.5
    lead = rng.standard_normal(n)
    found = judged(
        lead, lead + noise * rng.standard_normal(n) > 0, np.arange(n), np.arange(n) % 400
    )
    right = 0.5 + np.arcsin(1 / np.sqrt(1 + noise**2)) / np.pi
    assert accuracy(found).estimate == pytest.approx(right, abs=4 * np.sqrt(0.25 / n))
    # The density of a winner's lead m is 2 phi(m) Phi(m / s); so is the AUC a double integral.
    grid = np.linspace(-6, 6, 2401)
    density = 2 * stats.norm.pdf(grid) * stats.norm.cdf(grid / noise) * (grid[1] - grid[0])
    cumulative = np.cumsum(density) - density / 2  # P(winner's lead < m)
    area = float((density * (1 - cumulative[::-1])).sum())  # P(m_j > -m_i)
    assert auc(found).estimate == pytest.approx(area, abs=4 * np.sqrt(1 / 3 / n))


def test_the_ceiling_is_what_people_reach_among_themselves():
    """Four votes at chance q each agree with the majority of the other three in a known share."""
    q, pairs = 0.7, 30_000
    rng = np.random.default_rng(3)
    who = draw_different(rng, (pairs,), 4, 50).ravel()
    won = rng.random(4 * pairs) < q
    found = judged(np.ones(4 * pairs), won, np.repeat(np.arange(pairs), 4), who)
    most = stats.binom.sf(1, 3, q)  # of three others, two or three for the first
    assert ceiling(found).estimate == pytest.approx(q * most + (1 - q) * (1 - most), abs=0.006)
