"""Tallies: arrays that answer by question and pair."""

import numpy as np
import pytest

from evalkit.design import Tallies, Tally
from tests.design_runs import plan_of


@pytest.fixture
def plan():
    return plan_of(n_prompts=2, n_matchups=2)


def test_a_tally_put_is_the_tally_got_and_no_other(plan):
    tallies = Tallies.of(plan)
    tallies.put("quality", plan.main[1], issued=5, voted=3, open=1)
    assert tallies.get("quality", plan.main[1]) == Tally(5, 3, 1)
    assert tallies.get("alignment", plan.main[1]) == Tally(0, 0, 0)
    np.testing.assert_array_equal(
        tallies.counts("quality"), [[0, 5, 0, 0], [0, 3, 0, 0], [0, 1, 0, 0]]
    )


def test_known_tallies_are_taken_over(plan):
    tallies = Tallies.of(plan, {("alignment", plan.main[0]): Tally(2, 1, 0)})
    assert tallies.get("alignment", plan.main[0]) == Tally(issued=2, voted=1, open=0)
    assert tallies.counts("alignment").sum() == 3


def test_checks_and_unknown_pairs_have_no_tally(plan):
    tallies = Tallies.of(plan)
    for question_id, pair_id in [
        ("quality", plan.parts[0].attention[0]),
        ("quality", "no-pair"),
        ("no-question", plan.main[0]),
    ]:
        with pytest.raises(KeyError):
            tallies.put(question_id, pair_id, 1, 1, 0)
