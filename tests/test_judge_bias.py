"""The table of a judge's bias, against arithmetic and simulated judges."""

import numpy as np
import pandas as pd
import pytest

from evalkit import tables
from evalkit.analysis.judge_bias import judge_bias
from evalkit.errors import EstimateError, TableError


def judgements(when_first: list[float], when_second: list[float], per_prompt: int = 2, **more):
    """`tables.JUDGEMENTS` of pairs in order, so many of each prompt."""
    n = len(when_first)
    columns = {
        "question_id": "quality",
        "pair_id": [f"pair{number}" for number in range(n)],
        "prompt_id": [f"p{number // per_prompt}" for number in range(n)],
        "seed": 0,
        "model_a": "one",
        "model_b": "two",
        "metric": "vlm_judge",
        "weights": "w",
        "a_when_first": when_first,
        "a_when_second": when_second,
        "score": (np.array(when_first) + np.array(when_second)) / 2,
    }
    return pd.DataFrame({**columns, **more})


def test_shares_are_those_of_the_arithmetic() -> None:
    # preferred when a is first: a, a, b, neither; when a is second: a, b, b, a. So the first image
    # is preferred in 1, 1, 0, .5 and in 0, 1, 1, 0 of them: 4.5 of 8. Pair 2 alone says a then b.
    (row,) = judge_bias(judgements([0.9, 0.9, 0.2, 0.5], [0.8, 0.4, 0.3, 0.6])).itertuples()
    assert row.first_share == 4.5 / 8
    assert row.contradictions == 1 / 4
    assert (row.n, row.n_pairs, row.n_prompts) == (8, 4, 2)


def test_the_interval_is_wilsons_at_the_effective_number() -> None:
    # Four prompts of one pair: the first image is preferred 2, 1, 1 and 0 times of 2, so p = .5,
    # the residuals of prompts are 1, 0, 0, -1 and V = 2 x 4/3 / 64 = 1/24; effective n = .25 x 24
    # = 6; t(.975, 3) = 3.182446, t^2 = 10.12796. Half-width by Wilson at p = .5:
    # .5 x sqrt(t^2 / (n + t^2)) = .5 x sqrt(10.12796 / 16.12796) = .3962245.
    (row,) = judge_bias(judgements([0.9, 0.9, 0.1, 0.1], [0.1, 0.9, 0.1, 0.9], 1)).itertuples()
    assert row.first_share == 0.5
    assert (row.ci_low, row.ci_high) == pytest.approx((0.5 - 0.3962245, 0.5 + 0.3962245), abs=1e-6)
    assert "by prompt" in row.method


def test_a_judge_without_variation_has_no_interval_and_the_method_says_so() -> None:
    (row,) = judge_bias(judgements([0.9, 0.1, 0.7, 0.2], [0.8, 0.3, 0.6, 0.1])).itertuples()
    assert (row.first_share, row.contradictions) == (0.5, 0)
    assert np.isnan([row.ci_low, row.ci_high]).all()
    assert "no variation" in row.method
    assert row.contradictions_high > 0  # four pairs do not show that it never does


def test_intervals_of_a_biased_judge_hold_its_bias() -> None:
    # The log-odds of a are +-(gap) + .8 for being first, by prompts that share half of the gap's
    # variance. The truth is the mean of Phi(+-.8) over both orders: Phi(.8) = .788145.
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(300):
        gap = np.repeat(rng.normal(0, 0.5**0.5, 40), 3) + rng.normal(0, 0.5**0.5, 120)
        odds = gap + 0.8, gap - 0.8
        table = judgements(*(1 / (1 + np.exp(-value)) for value in odds), per_prompt=3)
        (row,) = judge_bias(table).itertuples()
        held += row.ci_low <= 0.788145 <= row.ci_high
    assert 0.92 <= held / 300 <= 0.98


def test_each_judge_and_question_has_its_row() -> None:
    one = judgements([0.9, 0.2], [0.9, 0.1], question_id="alignment")
    two = judgements([0.9, 0.9], [0.1, 0.1])
    other = judgements([0.1, 0.1], [0.9, 0.9], weights="v")
    table = judge_bias(pd.concat([one, two, other]))
    assert table[["weights", "question_id"]].to_numpy().tolist() == [
        ["v", "quality"],
        ["w", "alignment"],
        ["w", "quality"],
    ]
    assert table["first_share"].tolist() == [0, 0.5, 1]
    assert table["contradictions"].tolist() == [1, 0, 1]


def test_no_judgements_give_an_empty_table() -> None:
    table = judge_bias(tables.JUDGEMENTS.empty())
    assert table.empty
    assert [*table.columns, "vote_source"] == tables.JUDGE_BIAS.names


def test_a_number_that_is_no_probability_is_refused() -> None:
    with pytest.raises(TableError, match="row 2, column a_when_second: 1.5; allowed is"):
        judge_bias(judgements([0.5, 0.5], [0.5, 1.5]))
    with pytest.raises(EstimateError, match="level"):
        judge_bias(judgements([0.5, 0.5], [0.5, 0.5]), level=1)
