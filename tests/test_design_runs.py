"""A study as it goes: 24 annotators at once, three trials leased ahead, some leave for good."""

import itertools
from collections import Counter

import pytest

from evalkit.design import progress
from tests.design_runs import (
    Crowd,
    imbalances,
    of_kind,
    of_question,
    plan_of,
    prompts_of,
    repeat_gaps,
)

QUESTIONS = ("quality", "alignment")
SEEDS = range(3)


def study_of(**design):
    """100 pairs of 10 matchups; 40 trials and 4 of practice each, 16 of a question are main."""
    return plan_of(
        n_prompts=10, n_matchups=10, votes_per_pair=4, trials_per_annotator=40,
        attention_share=0.1, repeat_share=0.1, practice_trials=2, block_length=10, **design,
    )  # fmt: skip


@pytest.fixture(
    scope="module",
    params=itertools.product(("uniform", "adaptive"), (0.0, 0.01), SEEDS),
    ids=lambda given: "-".join(map(str, given)),
)
def crowd(request):
    policy, leaving, seed = request.param
    return Crowd(study_of(policy=policy), 24, seed, leaving).at_once()


def test_left_and_right_are_within_one_per_annotator_and_matchup(crowd):
    for seen in crowd.seen.values():
        assert max(imbalances(crowd.plan, seen)) <= 1


def test_who_stays_gets_2_practice_16_main_2_attention_2_repeat_of_each_question(crowd):
    stayed = set(crowd.seen) - crowd.left
    assert len(stayed) == 24 or crowd.leaving
    for who, question_id in itertools.product(stayed, QUESTIONS):
        kinds = Counter(s.kind for s in of_question(crowd.seen[who], question_id))
        assert kinds == {"practice": 2, "main": 16, "attention": 2, "repeat": 2}


def test_repeats_are_ten_trials_or_more_away(crowd):
    for seen in crowd.seen.values():
        assert min(repeat_gaps(seen), default=10) >= 10


def test_no_prompt_follows_itself(crowd):
    pairs = crowd.plan.pairs
    for seen in crowd.seen.values():
        for before, after in itertools.pairwise(seen):
            assert not prompts_of(pairs[before.pair_id]) & prompts_of(pairs[after.pair_id])


def test_no_pair_gets_more_votes_than_wanted(crowd):
    """The study ends before its votes are full: nobody needs the one vote too many."""
    assert max(crowd.votes.values()) == 4


def test_practice_is_in_no_tally_and_no_progress(crowd):
    mains = [s for seen in crowd.seen.values() for s in of_kind(seen, "main")]
    issued = sum(crowd.tallies.counts(question_id)[0].sum() for question_id in QUESTIONS)
    assert issued == len(mains)
    for who in set(crowd.seen) - crowd.left:
        seen = crowd.seen[who]
        assert len(seen) == 44
        at_end = progress(crowd.plan, seen, range(len(seen)), crowd.tallies)
        assert (at_end.done, at_end.total) == (40, 40)


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_votes_are_within_one_where_all_stay(seed):
    """24 x 16 = 384 votes on 100 pairs: 84 pairs get 4 votes, 16 get 3."""
    crowd = Crowd(study_of(), 24, seed).at_once()
    for question_id in QUESTIONS:
        votes = Counter(crowd.votes[question_id, pair] for pair in crowd.plan.main)
        assert votes == {4: 84, 3: 16}


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_votes_are_within_two_where_some_leave(seed):
    crowd = Crowd(study_of(), 24, seed, leaving=0.01).at_once()
    assert 5 <= len(crowd.left) <= 15
    for question_id in QUESTIONS:
        votes = [crowd.votes[question_id, pair] for pair in crowd.plan.main]
        assert max(votes) - min(votes) <= 2


@pytest.mark.parametrize("policy", ["uniform", "adaptive"])
@pytest.mark.parametrize("leaving", [0.0, 0.03])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_study_that_fills_up_gives_each_pair_its_votes_and_at_most_one_more(
    policy, leaving, seed
):
    """99 pairs; trials enough for all. What was left open at the very end may be lacking."""
    plan = plan_of(
        n_prompts=33, n_matchups=3, votes_per_pair=4, trials_per_annotator=200,
        attention_share=0, repeat_share=0, policy=policy,
    )  # fmt: skip
    crowd = Crowd(plan, 24, seed, leaving, ahead=1).at_once()
    counts = [crowd.votes["quality", pair] for pair in plan.main]
    assert max(counts) <= 5
    assert sum(counts) <= 4 * 99 + 24
    assert sum(count < 4 for count in counts) <= (2 if leaving else 0)
