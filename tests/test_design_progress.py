"""Progress: part, block and totals of the next trial to answer; practice counts nowhere."""

import pytest

from evalkit.design import Progress, Showing, Tallies, Tally, progress
from tests.design_runs import Crowd, of_kind, plan_of


@pytest.fixture(scope="module")
def plan():
    """Two parts of 2 practice trials and 25 that count, in blocks of 9, 9 and 7."""
    return plan_of(
        n_prompts=12, n_matchups=3, trials_per_annotator=50, votes_per_pair=9, block_length=10,
        practice_trials=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def walk(plan):
    """The trials of one annotator, and the tallies after all of them."""
    crowd = Crowd(plan, 1, seed=4)
    [seen] = crowd.one_by_one()
    return seen, crowd.tallies


def at(plan, walk, shown, voted=None):
    seen, tallies = walk
    answered = range(shown if voted is None else voted)
    return progress(plan, seen[:shown], answered, tallies)


def test_a_walk_through_blocks_and_parts(plan, walk):
    assert len(walk[0]) == 2 * 27
    first = {"part": 1, "parts": 2, "blocks": 3, "total": 50}
    second = {**first, "part": 2}
    expected = {
        0: Progress(**first, block=1, done=0, block_done=0, block_total=9),
        2: Progress(**first, block=1, done=0, block_done=0, block_total=9),  # practice is over
        3: Progress(**first, block=1, done=1, block_done=1, block_total=9),
        10: Progress(**first, block=1, done=8, block_done=8, block_total=9),
        11: Progress(**first, block=2, done=9, block_done=0, block_total=9),
        20: Progress(**first, block=3, done=18, block_done=0, block_total=7),
        26: Progress(**first, block=3, done=24, block_done=6, block_total=7),
        27: Progress(**second, block=1, done=25, block_done=0, block_total=9),
        29: Progress(**second, block=1, done=25, block_done=0, block_total=9),
        54: Progress(**second, block=3, done=50, block_done=7, block_total=7),
    }
    assert {shown: at(plan, walk, shown) for shown in expected} == expected


def test_open_trials_are_not_done_and_the_first_of_them_names_the_block(plan, walk):
    # 12 trials shown, of which the last three are open: 9 answered, of them 2 practice.
    assert at(plan, walk, 12, voted=9) == Progress(1, 2, 1, 3, 7, 50, 7, 9)
    # The next part's practice is open ahead, but a trial of this part still waits.
    assert at(plan, walk, 28, voted=26) == Progress(1, 2, 3, 3, 24, 50, 6, 7)
    assert at(plan, walk, 28, voted=27) == Progress(2, 2, 1, 3, 25, 50, 0, 9)


def test_answers_out_of_order_count_as_they_stand(plan, walk):
    seen, tallies = walk
    found = progress(plan, seen[:6], {0, 1, 2, 4}, tallies)
    assert (found.done, found.block_done) == (2, 2)


def test_totals_stay_as_they_were_said(plan, walk):
    assert {at(plan, walk, shown).total for shown in range(55)} == {50}


def test_one_block_where_no_length_is_set():
    plan = plan_of(n_prompts=12, n_matchups=3, trials_per_annotator=50)
    assert progress(plan, [], (), Tallies.of(plan)) == Progress(1, 2, 1, 1, 0, 50, 0, 25)


def test_what_others_complete_falls_out_of_the_totals(plan):
    """All but three pairs have their votes: 3 main trials and no check (0.05 x 3 < 0.5)."""
    tallies = Tallies.of(plan)
    for pair in plan.main[3:]:
        tallies.put("quality", pair, 9, 9, 0)
    assert progress(plan, [], (), tallies) == Progress(1, 2, 1, 1, 0, 3 + 25, 0, 3)
    for pair in plan.main[:3]:
        tallies.put("quality", pair, 9, 9, 0)
    assert progress(plan, [], (), tallies) == Progress(2, 2, 1, 3, 0, 25, 0, 9)


def test_a_study_whose_pairs_are_complete_is_done(plan):
    tallies = Tallies.of(
        plan, {(part.question_id, pair): Tally(9, 9) for part in plan.parts for pair in plan.main}
    )
    seen = [Showing("quality", plan.main[0], "a", "main")]
    assert progress(plan, seen, {0}, tallies) == Progress(1, 2, 1, 1, 1, 1, 1, 1)
    assert progress(plan, [], (), tallies) == Progress(1, 2, 1, 1, 0, 0, 0, 0)


@pytest.mark.parametrize("policy", ["uniform", "adaptive"])
@pytest.mark.parametrize("seed", range(3))
def test_at_the_end_all_is_done_whatever_others_did(policy, seed):
    plan = plan_of(
        n_prompts=6, n_matchups=3, votes_per_pair=3, trials_per_annotator=30, practice_trials=1,
        attention_share=0.1, repeat_share=0.1, block_length=5, policy=policy,
    )  # fmt: skip
    crowd = Crowd(plan, 9, seed).at_once()
    for seen in crowd.seen.values():
        found = progress(plan, seen, range(len(seen)), crowd.tallies)
        assert found.done == found.total == len(seen) - len(of_kind(seen, "practice"))
        assert found.block == found.blocks
        assert found.block_done == found.block_total
