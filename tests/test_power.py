"""Power and sample sizes: exact values, and simulated studies for clustered votes."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evalkit.analysis.alikeness import Alikeness, of_pilot, stated
from evalkit.analysis.intervals import two_way_share
from evalkit.analysis.power import (
    annotators_needed,
    design_effect,
    exact_power,
    exact_votes,
    power_of,
    power_table,
    prompts_needed,
    votes_needed,
)
from evalkit.errors import EstimateError
from evalkit.simulate import Population, gap_of, simulate_comparisons, simulate_shares
from tests.reference import FOLDER, needs_reference

INDEPENDENT = Alikeness(0.0, 0.0, "stated")
ALIKE = Alikeness(0.15, 0.05, "stated")


@needs_reference
def test_exact_sample_sizes_are_those_of_the_reference():
    for row in json.loads((FOLDER / "reference" / "power.json").read_text("utf-8")):
        found = exact_votes(row["p"], row["power"], row["alpha"])
        assert found.normal == row["n_normal"]
        assert (found.first, found.stable) == (row["n_exact_first"], row["n_exact_stable"])
        power = exact_power(np.array([found.stable]), row["p"], row["alpha"])
        assert power == pytest.approx(row["power_at_stable"], abs=1e-12)


def test_exact_power_by_hand():
    """Ten votes at .05: 2 (1 + 10) / 1024 = .0215, with 45 more .109: reject at 0, 1, 9 and 10.

    With 0.9: 10 x .9^9 x .1 + .9^10 = .7361, and next to nothing below.
    """
    assert exact_power(np.array([10]), 0.9)[0] == pytest.approx(0.7361, abs=1e-4)
    assert exact_power(np.array([5]), 0.9)[0] == 0.0  # 2 / 32 is over .05


def test_a_second_implementation_agrees_on_when_the_test_rejects():
    for n in (6, 13, 40, 77):
        rejected = [k for k in range(n + 1) if stats.binomtest(k, n).pvalue <= 0.05]
        by_hand = sum(stats.binom.pmf(k, n, 0.62) for k in rejected)
        assert exact_power(np.array([n]), 0.62)[0] == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(
    ("prompt_sd", "annotator_sd", "annotators", "prompts", "votes", "share"),
    [(1, 0.6, 20, 100, 4, 0.6), (0, 0, 20, 100, 4, 0.57), (0.5, 1, 40, 100, 2, 0.6)],
)
def test_simulated_studies_have_the_power_and_width_that_were_planned(
    prompt_sd, annotator_sd, annotators, prompts, votes, share
):
    """1500 studies, so that the standard error of a power is .013."""
    studies = simulate_shares(
        gap_of(share, Population(prompt_sd, annotator_sd)),
        n_prompts=prompts, votes_per_prompt=votes, n_annotators=annotators, studies=1500, seed=1,
        prompt_sd=prompt_sd, annotator_sd=annotator_sd,
    )  # fmt: skip
    results = [
        two_way_share(points, studies.prompt, annotator)
        for points, annotator in zip(studies.points, studies.annotator, strict=True)
    ]
    seen = np.mean([result.p_value < 0.05 for result in results])
    half_width = np.mean([result.ci_high - result.ci_low for result in results]) / 2
    planned = power_of(share, prompts, votes, annotators, stated(share, prompt_sd, annotator_sd))
    assert planned.power == pytest.approx(seen, abs=0.035)
    assert planned.half_width == pytest.approx(half_width, rel=0.04)


def test_stated_effects_make_votes_alike_as_simulated_ones_are():
    """Mean product of the residuals of two votes on one prompt (annotator), over the variance."""
    studies = simulate_shares(
        gap_of(0.6, Population(1, 0.6)),
        n_prompts=400, votes_per_prompt=2, n_annotators=400, studies=400, seed=3,
        prompt_sd=1, annotator_sd=0.6,
    )  # fmt: skip
    residuals = (studies.points - 0.6).reshape(400, 400, 2)
    together = (residuals[..., 0] * residuals[..., 1]).mean() / 0.24
    assert stated(0.6, 1, 0.6).prompt == pytest.approx(together, abs=0.006)
    nothing = stated(0.6, 0, 0)
    assert (nothing.prompt, nothing.annotator) == pytest.approx((0, 0), abs=1e-12)


def test_a_pilot_says_how_alike_votes_are():
    votes = simulate_comparisons(
        {"x": gap_of(0.6, Population(1, 0.6)), "y": 0.0},
        n_prompts=1500, votes_per_prompt=6, n_annotators=150, prompt_sd=1, annotator_sd=0.6, seed=6,
    )  # fmt: skip
    found, truth = of_pilot(votes), stated(0.6, 1, 0.6)
    assert found.prompt == pytest.approx(truth.prompt, abs=0.036)
    assert found.annotator == pytest.approx(truth.annotator, abs=0.03)  # 3 sds over seeds
    assert found.n == 9000
    turned = votes.rename(columns={"model_a": "model_b", "model_b": "model_a"}).assign(
        winner=votes["winner"].replace({"model_a": "model_b", "model_b": "model_a"})
    )
    assert of_pilot(turned) == found


def test_a_pilot_that_cannot_say_it_is_refused():
    votes = pd.DataFrame(
        {
            "question_id": "q", "model_a": "x", "model_b": "y",
            "winner": ["model_a", "model_b", "model_a"],
            "prompt_id": ["p1", "p2", "p3"], "annotator_id": ["a", "a", "b"],
        }
    )  # fmt: skip
    with pytest.raises(EstimateError, match="share one of the prompts"):
        of_pilot(votes)
    with pytest.raises(EstimateError, match="do not vary"):
        of_pilot(votes.assign(winner="model_a"))


def test_the_design_effect_by_hand():
    """4 votes on each of 100 prompts by 20: 1 + 3 x .15 + (400 / 20 - 4 / 20) x .05 = 2.44."""
    assert design_effect(100, 4, 20, ALIKE) == pytest.approx(2.44)
    assert design_effect(100, 1, 10_000, ALIKE) == pytest.approx(1, abs=0.001)


def test_more_annotators_beat_more_votes():
    table = power_table(0.6, 100, ALIKE).set_index(["n_annotators", "votes_per_prompt"])["power"]
    assert table[40, 4] > table[20, 8] > table[10, 8]
    assert (5, 8) not in table.index  # nobody votes twice on a prompt
    # However many votes ten people give, theirs is what is heard.
    assert power_of(0.6, 100_000, 10, 10, ALIKE).power < 0.75


def test_what_is_needed_reaches_the_power_and_one_less_does_not():
    votes = votes_needed(0.6, 0.8, 100, 40, ALIKE)
    assert votes.power >= 0.8 > power_of(0.6, 100, votes.votes_per_prompt - 1, 40, ALIKE).power
    prompts = prompts_needed(0.6, 0.8, 4, 20, ALIKE)
    assert prompts.power >= 0.8 > power_of(0.6, prompts.n_prompts - 1, 4, 20, ALIKE).power
    people = annotators_needed(0.6, 0.8, 100, 4, ALIKE)
    assert people.power >= 0.8 > power_of(0.6, 100, 4, people.n_annotators - 1, ALIKE).power
    assert votes_needed(0.6, 0.8, 100, 5, ALIKE) is None
    assert prompts_needed(0.6, 0.8, 4, 5, ALIKE) is None
    assert annotators_needed(0.6, 0.8, 20, 4, ALIKE) is None


def test_it_is_found_among_many():
    """By halving: a hundred thousand annotators are not tried one after the other."""
    votes = votes_needed(0.51, 0.8, 2000, 100_000, INDEPENDENT)
    assert votes.power >= 0.8 > power_of(0.51, 2000, votes.votes_per_prompt - 1, 100_000,
                                         INDEPENDENT).power  # fmt: skip
    assert 9 <= votes.votes_per_prompt <= 11  # 19,617 independent votes


def test_without_two_prompts_or_annotators_nothing_is_planned():
    for alone in (power_of(0.6, 1, 4, 20, ALIKE), power_of(0.6, 100, 1, 1, ALIKE)):
        assert np.isnan([alone.power, alone.half_width, alone.n_effective]).all()


@pytest.mark.parametrize(
    ("share", "power", "alpha", "found"),
    [(0.5, 0.8, 0.05, "no preference"), (0.5001, 0.8, 0.05, "at least 0.005 from"),
     (1.2, 0.8, 0.05, "win rate = 1.2"),
     (0.6, 1.0, 0.05, "power = 1"), (0.6, 0.8, 0.0, "alpha = 0")],
)  # fmt: skip
def test_wishes_out_of_range_are_refused(share, power, alpha, found):
    for ask in (lambda: exact_votes(share, power, alpha),
                lambda: votes_needed(share, power, 100, 20, ALIKE, alpha)):  # fmt: skip
        with pytest.raises(EstimateError, match=found):
            ask()


def test_more_votes_on_a_prompt_than_annotators_are_refused():
    with pytest.raises(EstimateError, match="8 votes on a prompt by 5 annotators"):
        power_of(0.6, 100, 8, 5, ALIKE)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.52, 0.95), st.integers(2, 300), st.integers(1, 6), st.integers(6, 100),
    st.floats(0, 0.4), st.floats(0, 0.4),
)  # fmt: skip
def test_power_is_the_same_from_both_sides_and_falls_with_alikeness(
    share, prompts, votes, people, by_prompt, by_annotator
):
    alike = Alikeness(by_prompt, by_annotator, "stated")
    ahead = power_of(share, prompts, votes, people, alike)
    behind = power_of(1 - share, prompts, votes, people, alike)
    assert ahead.power == pytest.approx(behind.power, abs=1e-9)
    assert ahead.n_effective <= power_of(share, prompts, votes, people, INDEPENDENT).n + 1e-9
    assert ahead.power <= power_of(share, 2 * prompts, votes, people, alike).power + 0.02
