"""The policies: uniform levels the pairs, adaptive sends votes to the matchups in doubt."""

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from evalkit.design import Showing, Tallies, choose_trial, matchup_chances, misordering
from tests.design_runs import Crowd, plan_of

NO_EXTRAS = {"attention_share": 0, "repeat_share": 0}


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ((0, 0, 0), 1 / 2),
        ((7, 7, 0), 1 / 2),
        ((1, 0, 0), 1 / 4),  # Beta(2, 1): the integral of 2x from 0 to 1/2
        ((0, 2, 0), 1 / 8),  # Beta(1, 3): the cube of 1/2
        ((0, 0, 4), 1 / 2),
        ((1, 0, 2), 5 / 16),  # Beta(3, 2) = two ties are a win for each: 4 x^3 - 3 x^4 at 1/2
    ],
)
def test_the_chance_of_misordering_by_hand(votes, expected):
    assert misordering(np.array([votes]))[0] == pytest.approx(expected)


def test_the_chance_of_misordering_is_that_of_the_posterior():
    votes = np.array([(31, 22, 9), (3, 12, 1), (400, 380, 0)])
    wins, losses = votes[:, 0] + votes[:, 2] / 2, votes[:, 1] + votes[:, 2] / 2
    below = stats.beta(1 + wins, 1 + losses).cdf(0.5)
    np.testing.assert_allclose(misordering(votes), np.minimum(below, 1 - below), rtol=1e-9)
    swapped = misordering(votes[:, [1, 0, 2]])
    np.testing.assert_allclose(swapped, misordering(votes), rtol=1e-12)


def test_chances_mix_doubt_with_an_even_share():
    votes = np.array([(0, 0, 0), (1, 0, 0), (100, 0, 0)])  # doubt 1/2, 1/4, nearly none
    chances = matchup_chances(votes, uniform_share=0.3)
    np.testing.assert_allclose(chances, [0.1 + 0.7 * 2 / 3, 0.1 + 0.7 / 3, 0.1], atol=1e-12)
    np.testing.assert_allclose(matchup_chances(votes, uniform_share=1), [1 / 3] * 3)


def test_chances_are_even_where_no_doubt_is_left():
    decided = np.array([(5000, 0, 0), (0, 9000, 0)])
    assert misordering(decided).sum() == 0
    np.testing.assert_allclose(matchup_chances(decided, 0.3), [0.5, 0.5])


def first_choices(plan, tallies, results, n=400, seen=()):
    """How often each matchup comes next, over seeds; and the choices."""
    chosen = [choose_trial(plan, seen, tallies, seed, results) for seed in range(n)]
    return Counter(plan.pairs[showing.pair_id].matchup for showing in chosen), chosen


def test_adaptive_looks_at_the_results_of_the_question_asked():
    plan = plan_of(n_matchups=2, policy="adaptive", votes_per_pair=9, **NO_EXTRAS)
    results = {("quality", "matchup-0"): (60, 2, 0), ("alignment", "matchup-1"): (60, 2, 0)}
    counts, _ = first_choices(plan, Tallies.of(plan), results)
    # matchup-0 has its half of the even share, 0.15; 400 x 0.15 = 60, sd 7.
    assert 32 <= counts["matchup-0"] <= 88
    seen = [Showing("alignment", plan.main[0], "a", "main")]
    counts, _ = first_choices(plan, Tallies.of(plan), results, seen=seen)
    assert 32 <= counts["matchup-1"] <= 88


def test_within_a_matchup_the_pair_with_the_fewest_votes_comes_next():
    plan = plan_of(n_matchups=2, n_prompts=5, policy="adaptive", votes_per_pair=9, **NO_EXTRAS)
    tallies = Tallies.of(plan)
    scarce = {"matchup-0": "pair-3-0", "matchup-1": "pair-1-1"}
    for pair in set(plan.main) - set(scarce.values()):
        tallies.put("quality", pair, issued=2, voted=2, open=0)
    for pair in scarce.values():
        tallies.put("quality", pair, issued=3, voted=0, open=1)  # two were left open and expired
    counts, chosen = first_choices(plan, tallies, {}, n=60)
    assert {showing.pair_id for showing in chosen} == set(scarce.values())
    assert min(counts["matchup-0"], counts["matchup-1"]) > 15


def test_among_pairs_of_equal_votes_the_one_issued_least_comes_next():
    plan = plan_of(n_matchups=1, n_prompts=5, votes_per_pair=9, **NO_EXTRAS)
    tallies = Tallies.of(plan)
    for number, pair in enumerate(plan.main):
        tallies.put("quality", pair, issued=4 - (number == 2), voted=2, open=0)
    _, chosen = first_choices(plan, tallies, {}, n=20)
    assert {showing.pair_id for showing in chosen} == {plan.main[2]}


def test_uniform_pays_no_heed_to_results():
    plan = plan_of(n_matchups=2, votes_per_pair=9, **NO_EXTRAS)
    results = {("quality", "matchup-0"): (60, 2, 0)}
    counts, chosen = first_choices(plan, Tallies.of(plan), results)
    assert chosen == first_choices(plan, Tallies.of(plan), {})[1]
    assert 150 <= counts["matchup-0"] <= 250


# ---- whole studies


def votes_by_matchup(policy, seed):
    """24 annotators x 45 main trials of a question on 400 pairs; three matchups are even."""
    plan = plan_of(
        n_prompts=40, policy=policy, votes_per_pair=10, trials_per_annotator=100,
        attention_share=0.05, repeat_share=0.05,
    )  # fmt: skip
    favours = {matchup: 0.5 if matchup[-1] in "012" else 0.9 for matchup in plan.matchups}
    crowd = Crowd(plan, 24, seed, favours=favours).at_once()
    votes = {
        matchup: [crowd.votes["quality", p] for p in plan.main if p.endswith(matchup[-1])]
        for matchup in plan.matchups
    }
    return votes, favours


@pytest.mark.parametrize("seed", range(2))
def test_adaptive_sends_three_times_the_votes_to_matchups_in_doubt(seed):
    votes, favours = votes_by_matchup("adaptive", seed)
    close = [sum(votes[matchup]) for matchup, chance in favours.items() if chance == 0.5]
    clear = [sum(votes[matchup]) for matchup, chance in favours.items() if chance == 0.9]
    assert np.mean(close) > 3 * np.mean(clear)
    assert min(clear) >= 20  # the even share: 0.3 of 1056 votes on 10 matchups is 32 for each
    assert max(itertools.chain(*votes.values())) <= 10
    for counts in votes.values():
        assert max(counts) - min(counts) <= 2  # levelled within the matchup


@pytest.mark.parametrize("seed", range(2))
def test_uniform_levels_votes_to_within_one_over_all_matchups(seed):
    votes, _ = votes_by_matchup("uniform", seed)
    everyone = list(itertools.chain(*votes.values()))
    assert sum(everyone) == 24 * 44
    assert max(everyone) - min(everyone) <= 1


def ordered_wrongly(uniform_share, seed, n_votes=1000):
    """Matchups of 8 models, evenly apart, that `n_votes` votes order wrongly; 95% intervals held.

    The intervals are Wilson's: the votes here are independent.
    """
    rng = np.random.default_rng(seed)
    strengths = np.linspace(0, 2.1, 8)
    gaps = [strengths[j] - strengths[i] for i, j in itertools.combinations(range(8), 2)]
    truth = 1 / (1 + np.exp(gaps))  # a is the weaker one of every matchup
    votes = np.zeros((28, 3), dtype=int)
    for _ in range(n_votes):
        matchup = rng.choice(28, p=matchup_chances(votes, uniform_share))
        votes[matchup, int(rng.random() >= truth[matchup])] += 1
    intervals = [stats.binomtest(a, a + b).proportion_ci(method="wilson") for a, b, _ in votes]
    held = [i.low <= p <= i.high for i, p in zip(intervals, truth, strict=True)]
    return (votes[:, 0] >= votes[:, 1]).sum(), np.mean(held)


def test_adaptive_orders_fewer_matchups_wrongly_and_intervals_hold_over_all_of_them():
    """Over all: those of the closest hold less often, see docs/statistics.md, Choosing pairs."""
    adaptive = np.array([ordered_wrongly(0.3, seed) for seed in range(20)])
    uniform = np.array([ordered_wrongly(1.0, seed) for seed in range(20)])
    assert adaptive[:, 0].mean() < 0.6 * uniform[:, 0].mean()
    assert 0.93 <= adaptive[:, 1].mean() <= 0.98
