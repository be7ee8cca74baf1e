"""The statistics of the leak check: right against outside witnesses, level and power simulated."""

import numpy as np
import pytest
from scipy.stats import kruskal, mannwhitneyu

from evalkit.leaks.statistics import (
    LEVEL,
    MIN_EFFECT,
    Tell,
    cluster_tell,
    order_tell,
    side_tell,
    telling,
)


def labels(n, k):
    return np.arange(n) % k


def test_the_order_statistic_agrees_with_kruskal_and_wallis():
    rng = np.random.default_rng(2)
    groups = labels(300, 3)
    values = np.round(rng.normal(size=300) + 0.3 * (groups == 2), 1)  # with ties
    tell = order_tell("x", values, groups, seed=1)
    witness = kruskal(*(values[groups == k] for k in range(3)))
    assert 0.002 < witness.pvalue < 0.2
    assert tell.p_value == pytest.approx(witness.pvalue, abs=4 * (witness.pvalue / 5000) ** 0.5)
    assert tell.n == 300


def test_the_effect_is_the_auc_of_the_pair_told_apart_best():
    rng = np.random.default_rng(2)
    groups = labels(90, 3)
    values = rng.normal(size=90) + 1.0 * (groups == 1)
    sizes = 30 * 30
    aucs = {
        (i, j): mannwhitneyu(values[groups == i], values[groups == j]).statistic / sizes
        for i, j in ((0, 1), (0, 2), (1, 2))
    }
    best = max(aucs, key=lambda pair: abs(aucs[pair] - 0.5))
    tell = order_tell("x", values, groups, seed=2)
    assert tell.best == tuple(map(str, best))
    assert tell.effect == pytest.approx(abs(aucs[best] - 0.5))


def test_a_complete_separation_of_small_groups_is_exact():
    """Two of four sets of two: of the 6 ways to choose, 2 are as extreme (one third)."""
    tell = order_tell("x", np.array([1, 2, 3, 4]), np.array(["a", "a", "b", "b"]), seed=3)
    assert tell.effect == 0.5
    assert tell.p_value == pytest.approx(1 / 3, abs=0.03)


def test_clusters_without_an_order_are_seen():
    """Ten b in the middle of twenty a: 27 of 29 neighbours are alike; by chance 235/435 of them."""
    groups = np.repeat(["a", "b", "a"], 10)
    assert order_tell("x", np.arange(30), groups, seed=4).effect == 0
    tell = cluster_tell("x", np.arange(30), groups, seed=4)
    expected = (20 * 19 + 10 * 9) / (30 * 29)
    assert tell.effect == pytest.approx((27 / 29 - expected) / (1 - expected) / 2)
    assert tell.p_value == pytest.approx(1 / 5000)


def test_sides_against_fair_coins():
    """One label, 9 of 10 on the left: by 2 tails of 10 coins, p = 22/1024."""
    tell = side_tell("x", np.array([True] * 9 + [False]), np.array(["m"] * 10), seed=5)
    assert tell.effect == pytest.approx(0.4)
    assert tell.p_value == pytest.approx(22 / 1024, abs=0.008)
    assert tell.best == ("m", "")


def test_what_is_constant_or_absent_tells_nothing():
    for values, groups in ((np.ones(9), labels(9, 3)), (np.arange(9), np.zeros(9)), ([], [])):
        tell = order_tell("x", np.array(values), np.array(groups), seed=6)
        assert (tell.effect, tell.p_value) == (0, 1)
    assert side_tell("x", np.array([], dtype=bool), np.array([]), seed=6).p_value == 1
    assert cluster_tell("x", np.array([]), np.array([]), seed=6).p_value == 1


def test_holm_and_the_least_effect_decide_together():
    """Ten tells: the smallest p is held against 0.01/10, the next against 0.01/9."""
    clear = Tell("a", 0.3, 0.0008, 50)
    dust = Tell("b", MIN_EFFECT / 2, 0.0002, 10_000)
    chance = Tell("c", 0.3, 0.005, 20)
    rest = [Tell(str(k), 0.05, 0.5, 50) for k in range(7)]
    assert telling([clear, dust, chance, *rest]) == [True, False, False] + [False] * 7
    assert telling([chance]) == [True]


def test_the_same_seed_gives_the_same_tell():
    rng = np.random.default_rng(7)
    values, groups = rng.normal(size=40), labels(40, 4)
    assert order_tell("x", values, groups, 1) == order_tell("x", values, groups, 1)


def family(rng, n, shift=0.0):
    """Seven tells of a study: n images of three models; `shift` moves one model's values."""
    groups = labels(n, 3)
    seeds = rng.integers(2**31, size=7)
    values = [rng.permutation(n) + shift * n * (groups == 0) for _ in range(1)]
    values += [rng.permutation(n) for _ in range(3)]
    tells = [order_tell(str(k), value, groups, seeds[k]) for k, value in enumerate(values)]
    tells += [cluster_tell("c", values[k], groups, seeds[4 + k]) for k in (1, 2)]
    return [*tells, side_tell("s", rng.random(n) < 0.5, groups, seeds[6])]


@pytest.mark.parametrize("n", [12, 60])
def test_false_alarms_are_as_rare_as_stated(n):
    """150 studies without a leak: at a level of 1 %, 7 alarms or more have a chance of 0.1 %."""
    rng = np.random.default_rng(8)
    assert LEVEL == 0.01
    assert sum(any(telling(family(rng, n))) for _ in range(150)) < 7


def test_a_shift_that_a_person_could_use_is_found():
    """60 images a model, one of them later by a third of the range: AUC 0.78, always found."""
    rng = np.random.default_rng(9)
    assert sum(telling(family(rng, 180, shift=1 / 3))[0] for _ in range(40)) >= 38


def test_eight_images_of_each_model_show_a_complete_order():
    rng = np.random.default_rng(10)
    groups = labels(24, 3)
    found = [order_tell("x", rng.random(24) + (groups == 0), groups, seed) for seed in range(10)]
    others = [Tell(str(k), 0.05, 0.5, 24) for k in range(9)]
    assert all(telling([tell, *others])[0] for tell in found)
