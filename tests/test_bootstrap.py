"""Cluster bootstraps by counts: against drawing the rows themselves, and a binomial by hand."""

import numpy as np
import pytest
from scipy import stats

from evalkit.analysis import bootstrap
from evalkit.analysis.bootstrap import bootstrap_share, draw_weights
from evalkit.errors import EstimateError


def votes(seed=0, n=120, prompts=15, annotators=9):
    rng = np.random.default_rng(seed)
    points = rng.choice([0.0, 0.5, 1.0], size=n, p=[0.3, 0.1, 0.6])
    return points, rng.integers(prompts, size=n), rng.integers(annotators, size=n)


def drawn_by_rows(points, prompt, annotator, by, seed, replicates):
    """The means in each replicate, by repeating every vote as often as its clusters were drawn."""
    rng = np.random.default_rng(seed)
    weights = np.ones((replicates, len(points)), dtype=int)
    for kind, codes in (("prompt", prompt), ("annotator", annotator)):
        if by in (kind, "both"):
            _, codes = np.unique(codes, return_inverse=True)
            weights *= draw_weights(rng, codes.max() + 1, replicates).astype(int)[:, codes]
    return np.array([np.repeat(points, repeats).mean() for repeats in weights])


@pytest.mark.parametrize("by", ["both", "prompt", "annotator"])
@pytest.mark.parametrize("cells_to_one", [0, 30])  # sparse, and dense
def test_counts_give_what_repeated_rows_give(by, cells_to_one, monkeypatch):
    monkeypatch.setattr(bootstrap, "_DENSE", cells_to_one)
    points, prompt, annotator = votes()
    result = bootstrap_share(points, prompt, annotator, by=by, seed=3, replicates=200)
    drawn = drawn_by_rows(points, prompt, annotator, by, 3, 200)
    assert (result.ci_low, result.ci_high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    p = points.mean()
    assert result.n_effective == pytest.approx(min(120, p * (1 - p) / drawn.var()))
    beyond = min((drawn <= 0.5).sum(), (drawn >= 0.5).sum())
    assert result.p_value == pytest.approx(min(1, 2 * (1 + beyond) / 201))
    assert result.estimate == pytest.approx(points.mean())
    assert (result.seed, result.n, result.n_prompts, result.n_annotators) == (3, 120, 15, 9)


def test_clusters_are_drawn_as_a_multinomial_is():
    weights = draw_weights(np.random.default_rng(0), 20, 4000)
    assert (weights.sum(axis=1) == 20).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(20), abs=0.07)  # 4.5 standard errors
    assert weights.var() == pytest.approx(1 - 1 / 20, abs=0.03)
    # The chance not to be drawn: (19/20)^20.
    assert (weights == 0).mean() == pytest.approx(0.95**20, abs=0.01)


def test_a_prompt_per_vote_gives_the_binomial_interval():
    """61 of 100 votes, each a prompt of its own: the replicates are binomial(100, .61) / 100."""
    points = np.repeat([1.0, 0.0], [61, 39])
    codes = np.arange(100)
    result = bootstrap_share(points, codes, codes % 4, by="prompt", replicates=20_000)
    exact = stats.binom.ppf([0.025, 0.975], 100, 0.61) / 100
    assert (result.ci_low, result.ci_high) == pytest.approx(exact, abs=0.0101)


def test_blocks_of_replicates_are_all_drawn(monkeypatch):
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 1000)
    points, prompt, annotator = votes()
    small = bootstrap_share(points, prompt, annotator, replicates=500)
    monkeypatch.undo()
    whole = bootstrap_share(points, prompt, annotator, replicates=500)
    assert small.ci_low == pytest.approx(whole.ci_low, abs=0.03)
    assert small.ci_low != whole.ci_low  # other numbers of the same generator


def test_one_cluster_has_no_bootstrap():
    points, prompt, _ = votes()
    alone = np.zeros(len(points), dtype=int)
    assert "one annotator" in bootstrap_share(points, prompt, alone).method
    assert "one prompt" in bootstrap_share(points, alone, prompt, by="prompt").method
    assert bootstrap_share(points, prompt, alone, by="prompt").has_interval
    assert "no variation" in bootstrap_share(np.ones(len(points)), prompt, prompt % 3).method
    nothing = bootstrap_share(points[:0], prompt[:0], alone[:0])
    assert np.isnan(nothing.estimate)
    assert "no votes" in nothing.method


def test_options_that_are_not_allowed_are_refused():
    with pytest.raises(EstimateError, match="by: found question"):
        bootstrap_share(*votes(), by="question")
    with pytest.raises(EstimateError, match="replicates: found 10"):
        bootstrap_share(*votes(), replicates=10)
