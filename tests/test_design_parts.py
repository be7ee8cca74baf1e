"""Parts and blocks: the questions in order, the kinds of trials in their shares."""

import pytest

from evalkit.design import Composition, block_length, composition, question_parts
from evalkit.study_sections import Design
from tests.design_runs import QUESTIONS, plan_of


def test_questions_without_the_prompt_come_first_and_trials_are_split_evenly():
    parts = question_parts(QUESTIONS, Design(trials_per_annotator=7))
    assert [(question.id, length) for question, length in parts] == [
        ("quality", 4),
        ("alignment", 3),
    ]


@pytest.mark.parametrize(
    ("attention", "repeat", "length", "n_pairs", "n_checks", "expected"),
    [
        (0.05, 0.05, 50, 500, 9, (44, 3, 3)),  # 2.5 is rounded up
        (0.1, 0.1, 30, 500, 9, (24, 3, 3)),
        (0.1, 0.1, 30, 500, 1, (26, 1, 3)),  # checks bound the checks
        (0.1, 0.1, 30, 8, 9, (8, 1, 0)),  # the longest part with 8 main trials; no room to repeat
        (0.0, 0.5, 10, 500, 9, (10, 0, 0)),  # too short for a repeat
        (0.0, 0.5, 12, 500, 9, (10, 0, 2)),  # the last two can be repeats
        (0.5, 0.5, 100, 500, 99, (25, 50, 25)),
        (0.1, 0.1, 30, 0, 9, (0, 0, 0)),
    ],
)
def test_composition_of_a_part(attention, repeat, length, n_pairs, n_checks, expected):
    design = Design(attention_share=attention, repeat_share=repeat)
    assert composition(design, length, n_pairs, n_checks) == Composition(*expected)


@pytest.mark.parametrize(
    ("longest", "length", "expected"),
    [
        (20, 50, 17),  # 17, 17, 16
        (20, 40, 20),
        (20, 41, 14),  # 14, 14, 13
        (20, 7, 7),
        (None, 50, 50),  # one block
        (5, 0, 1),  # nothing to split; at least 1
        (None, 0, 1),
    ],
)
def test_blocks_are_as_few_as_may_be_and_nearly_equal(longest, length, expected):
    assert block_length(Design(block_length=longest), length) == expected


def test_a_part_is_cut_by_the_trials_that_there_can_be(tmp_path):
    """4 pairs: main 4, none of the 2 repeats (too short), 1 check of 5 = 0.1 * 5 + 0.5."""
    plan = plan_of(
        n_prompts=4, n_matchups=1, trials_per_annotator=40, block_length=10, attention_share=0.1
    )
    assert [part.length for part in plan.parts] == [20, 20]
    assert [part.block_length for part in plan.parts] == [5, 5]


def test_places_name_pairs_matchups_and_prompts():
    plan = plan_of(n_prompts=3, n_matchups=2, practice_trials=1)
    assert plan.ids[: len(plan.main)] == plan.main
    assert len(plan.main) == 6
    for pair_id, place in plan.places.items():
        pair = plan.pairs[pair_id]
        assert plan.ids[place] == pair_id
        alike = {p.pair_id for p in plan.pairs.values() if p.prompt_id == pair.prompt_id}
        same = (plan.prompts == plan.prompts[place]).all(axis=1)
        assert {plan.ids[other] for other in same.nonzero()[0]} == alike
        if pair.role == "main":
            assert plan.matchups[plan.matchup_numbers[place]] == pair.matchup
