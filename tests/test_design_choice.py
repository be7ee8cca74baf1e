"""The next trial: simulated runs whose trials keep every promise, under both policies."""

import itertools
from collections import Counter

import pandas as pd
import pytest

from evalkit.design import (
    MIN_REPEAT_GAP,
    Showing,
    Tallies,
    Tally,
    choose_trial,
    composition,
    progress,
    trial_plan,
)
from evalkit.study_sections import Design
from tests.design_runs import (
    QUESTIONS,
    Crowd,
    imbalances,
    of_kind,
    of_question,
    plan_of,
    prompts_of,
    repeat_gaps,
)

NO_EXTRAS = {"attention_share": 0, "repeat_share": 0}
POLICIES = ("uniform", "adaptive")


def one_by_one(plan, n_annotators, seed):
    return Crowd(plan, n_annotators, seed, ahead=1).one_by_one()


def tallied(plan, pairs, tally, question_id="quality"):
    return {(question_id, pair): tally for pair in pairs}


# ---- promises, over simulated runs


@pytest.fixture(scope="module", params=itertools.product(POLICIES, range(3)), ids=str)
def run(request):
    """Ten annotators of 60 trials and 4 of practice on 36 pairs: nobody runs out of pairs."""
    policy, seed = request.param
    plan = plan_of(
        n_prompts=12, n_matchups=3, trials_per_annotator=60, votes_per_pair=20,
        attention_share=0.1, repeat_share=0.1, practice_trials=2, policy=policy,
    )  # fmt: skip
    return plan, one_by_one(plan, n_annotators=10, seed=seed)


def test_trial_counts_are_as_the_study_states(run):
    _, everyone = run
    for seen in everyone:
        for question_id in ("quality", "alignment"):
            kinds = Counter(showing.kind for showing in of_question(seen, question_id))
            assert kinds == {"practice": 2, "main": 24, "attention": 3, "repeat": 3}


def test_the_quality_part_comes_before_the_alignment_part(run):
    _, everyone = run
    for seen in everyone:
        assert [showing.question_id for showing in seen] == ["quality"] * 32 + ["alignment"] * 32


def test_each_part_begins_with_its_practice_and_has_no_more(run):
    plan, everyone = run
    for seen in everyone:
        for part, showings in zip(plan.parts, (seen[:32], seen[32:]), strict=True):
            assert {showing.pair_id for showing in showings[:2]} == set(part.practice)
            assert not of_kind(showings[2:], "practice")
            checks = {showing.pair_id for showing in of_kind(showings, "attention")}
            assert checks < set(part.attention)


def test_no_pair_twice_for_one_question_but_planned_repeats(run):
    _, everyone = run
    for seen in everyone:
        for kinds in (["main", "attention", "practice"], ["repeat"]):
            shown = [(s.question_id, s.pair_id) for s in seen if s.kind in kinds]
            assert len(shown) == len(set(shown))


def test_repeats_of_main_trials_come_late_enough_with_sides_swapped(run):
    _, everyone = run
    for seen in everyone:
        gaps = repeat_gaps(seen)  # asserts the sides
        assert len(gaps) == 6
        assert min(gaps) >= MIN_REPEAT_GAP == 10
        mains = {(s.question_id, s.pair_id) for s in of_kind(seen, "main")}
        assert {(s.question_id, s.pair_id) for s in of_kind(seen, "repeat")} <= mains


def test_sides_are_balanced_to_within_one_at_every_moment(run):
    plan, everyone = run
    for seen in everyone:
        assert max(imbalances(plan, seen)) == 1


def test_sides_do_not_alternate_by_a_rule(run):
    _, everyone = run
    lefts = ["".join(s.left for s in of_kind(seen, "main")) for seen in everyone]
    assert len(set(lefts)) == len(lefts)
    share = sum(left.count("a") for left in lefts) / sum(map(len, lefts))
    assert 0.45 < share < 0.55


def test_who_always_presses_one_side_fails_half_of_the_checks(run):
    plan, everyone = run
    for seen in everyone:
        for kind, question_id in itertools.product(("attention", "practice"), plan_questions(plan)):
            shown = of_kind(of_question(seen, question_id), kind)
            right_is_left = sum(s.left == plan.pairs[s.pair_id].expected for s in shown)
            assert abs(2 * right_is_left - len(shown)) <= 1


def plan_questions(plan):
    return [part.question_id for part in plan.parts]


def test_no_prompt_is_shown_twice_in_a_row(run):
    plan, everyone = run
    for seen in everyone:
        for before, after in itertools.pairwise(seen):
            assert not prompts_of(plan.pairs[before.pair_id]) & prompts_of(
                plan.pairs[after.pair_id]
            )


def test_checks_and_repeats_fall_at_random_places(run):
    _, everyone = run
    places = {tuple(i for i, s in enumerate(seen) if s.kind == "attention") for seen in everyone}
    assert len(places) == len(everyone)


@pytest.mark.parametrize("seed", range(3))
def test_uniform_levels_pairs_over_annotators(seed):
    plan = plan_of(n_prompts=12, n_matchups=3, trials_per_annotator=60, votes_per_pair=20)
    everyone = one_by_one(plan, n_annotators=10, seed=seed)
    for question_id in ("quality", "alignment"):
        issued = Counter(dict.fromkeys(plan.main, 0))
        for seen in everyone:
            mains = of_kind(of_question(seen, question_id), "main")
            issued.update(showing.pair_id for showing in mains)
            assert max(issued.values()) - min(issued.values()) <= 2


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(3))
def test_every_pair_gets_its_votes_and_then_the_study_is_done(policy, seed):
    plan = plan_of(
        n_prompts=4, n_matchups=3, trials_per_annotator=10, votes_per_pair=3, practice_trials=1,
        policy=policy,
    )  # fmt: skip
    everyone = one_by_one(plan, n_annotators=20, seed=seed)
    mains = Counter((s.question_id, s.pair_id) for seen in everyone for s in of_kind(seen, "main"))
    assert len(mains) == 2 * 12
    assert set(mains.values()) == {3}
    assert everyone[-1] == []  # no practice for nothing


# ---- parts that end otherwise than planned


def test_a_short_part_has_no_repeats_and_fills_up_with_pairs():
    plan = plan_of(trials_per_annotator=20, attention_share=0, repeat_share=0.4)
    [seen] = one_by_one(plan, n_annotators=1, seed=0)
    assert Counter(showing.kind for showing in seen) == {"main": 20}


def test_with_the_largest_shares_a_repeat_without_room_becomes_a_main_trial():
    plan = plan_of(
        n_prompts=12, n_matchups=3, n_attention=40, trials_per_annotator=80, attention_share=0.5,
        repeat_share=0.5, votes_per_pair=9,
    )  # fmt: skip
    for seen in one_by_one(plan, n_annotators=5, seed=1):
        kinds = Counter(s.kind for s in of_question(seen, "quality"))
        planned = composition(plan.design, 40, 36, 40)
        assert kinds["attention"] == planned.attention == 20
        assert kinds["main"] + kinds["repeat"] == 20
        assert planned.repeat - 2 <= kinds["repeat"] <= planned.repeat == 10


@pytest.mark.parametrize(
    ("n_main", "n_attention", "n_repeat"), [(5, 9, 0), (12, 0, 10)], ids=["checks", "repeats"]
)
def test_checks_and_repeats_shown_early_cost_no_pair_its_trial(n_main, n_attention, n_repeat):
    """Others completed most pairs meanwhile: the part is shorter than it was planned."""
    plan = plan_of(
        n_prompts=12, n_matchups=3, trials_per_annotator=80, votes_per_pair=1,
        attention_share=0.3 * bool(n_attention), repeat_share=0.3 * bool(n_repeat),
    )  # fmt: skip
    seen = [Showing("quality", pair, "a", "main") for pair in plan.main[:n_main]]
    checks = plan.parts[0].attention[:n_attention]
    seen += [Showing("quality", pair, "a", "attention") for pair in checks]
    seen += [Showing("quality", pair, "b", "repeat") for pair in plan.main[:n_repeat]]
    last = plan.main[-1]
    tallies = Tallies.of(plan, tallied(plan, set(plan.main) - {last}, Tally(1, 1)))
    chosen = choose_trial(plan, seen, tallies, seed=0)
    assert (chosen.question_id, chosen.kind, chosen.pair_id) == ("quality", "main", last)
    expected = len(seen) + 1 + plan.parts[1].length
    assert progress(plan, seen, range(len(seen)), tallies).total == expected


def test_a_part_once_left_is_not_opened_again():
    plan = plan_of(n_prompts=4, n_matchups=3)
    seen = [Showing("alignment", plan.main[0], "a", "main")]
    assert choose_trial(plan, seen, Tallies.of(plan), seed=0).question_id == "alignment"


def test_practice_is_not_taken_up_again_within_a_part():
    plan = plan_of(practice_trials=2)
    seen = [Showing("quality", plan.main[0], "a", "main")]
    kinds = {choose_trial(plan, seen, Tallies.of(plan), seed).kind for seed in range(20)}
    assert "practice" not in kinds
    assert "main" in kinds


# ---- pairs that others have open


def test_a_pair_that_was_issued_but_never_answered_is_issued_again():
    plan = plan_of(n_prompts=4, n_matchups=3, votes_per_pair=1, **NO_EXTRAS)
    pair, *others = plan.main
    tallies = Tallies.of(plan, tallied(plan, others, Tally(1, 1)))
    for other in plan.main:
        tallies.put("alignment", other, 1, 1, 0)
    tallies.put("quality", pair, issued=1, voted=0, open=0)
    assert choose_trial(plan, [], tallies, seed=0).pair_id == pair
    tallies.put("quality", pair, issued=1, voted=1, open=0)
    assert choose_trial(plan, [], tallies, seed=0) is None


def test_a_pair_that_others_are_looking_at_counts_as_voted_on():
    plan = plan_of(n_prompts=4, n_matchups=3, votes_per_pair=2, **NO_EXTRAS)
    free, *rest = plan.main
    tallies = Tallies.of(plan, tallied(plan, rest, Tally(issued=2, voted=1, open=1)))
    tallies.put("quality", free, issued=9, voted=1, open=0)
    assert choose_trial(plan, [], tallies, seed=0).pair_id == free
    seen = [Showing("quality", free, "a", "main")]
    # All that are left are with others: each is issued once more, and not twice.
    again = choose_trial(plan, seen, tallies, seed=0)
    assert (again.question_id, again.kind) == ("quality", "main")
    tallies = Tallies.of(plan, tallied(plan, plan.main, Tally(issued=3, voted=1, open=2)))
    assert choose_trial(plan, seen, tallies, seed=0).question_id == "alignment"


def test_a_pair_given_back_counts_for_nothing_and_does_not_come_again():
    plan = plan_of(n_prompts=3, n_matchups=1, trials_per_annotator=6, **NO_EXTRAS)
    one, two, three = plan.main
    given_back = Showing("quality", one, "a", "returned")
    seen = [given_back, Showing("quality", two, "a", "main")]
    tallies = Tallies.of(plan)
    chosen = [choose_trial(plan, seen, tallies, seed) for seed in range(10)]
    # The side is the other one than that of the trial that counts, whatever was given back.
    assert set(chosen) == {Showing("quality", three, "b", "main")}
    seen.append(chosen[0])
    assert choose_trial(plan, seen, tallies, seed=0).question_id == "alignment"
    found = progress(plan, seen, {1, 2}, tallies)
    assert (found.part, found.done, found.total) == (2, 2, 2 + 3)
    found = progress(plan, seen[:2], {1}, tallies)
    assert (found.part, found.done, found.block_total) == (1, 1, 2)


def test_a_pair_given_back_for_one_question_may_come_for_another():
    plan = plan_of(n_prompts=1, n_matchups=1, trials_per_annotator=2, **NO_EXTRAS)
    seen = [Showing("quality", plan.main[0], "a", "returned")]
    chosen = choose_trial(plan, seen, Tallies.of(plan), seed=0)
    assert (chosen.question_id, chosen.pair_id) == ("alignment", plan.main[0])


def test_a_trial_given_back_does_not_stand_between_a_showing_and_its_repeat():
    """Ten main trials and two repeats: the first repeat can come when ten trials were seen."""
    plan = plan_of(
        n_prompts=20, n_matchups=1, trials_per_annotator=24, repeat_share=0.2, attention_share=0
    )
    mains = [Showing("quality", pair, "a", "main") for pair in plan.main[:10]]
    given_back = Showing("quality", plan.main[10], "a", "returned")
    tallies = Tallies.of(plan)
    kinds = {choose_trial(plan, mains, tallies, seed).kind for seed in range(20)}
    assert kinds == {"repeat"}
    early = [*mains[:9], given_back]
    kinds = {choose_trial(plan, early, tallies, seed).kind for seed in range(20)}
    assert kinds == {"main"}


def test_neither_prompt_of_a_check_is_shown_after_it():
    pairs = pd.DataFrame(
        [
            *[(f"pair-{p}", "", "matchup-1", p, p, "main", "") for p in ("p0", "p1", "p2")],
            ("check", "alignment", "check", "p0", "p1", "attention", "a"),
        ],
        columns=[
            "pair_id", "question_id", "matchup", "prompt_id", "foil_prompt_id", "role", "expected"
        ],
    )  # fmt: skip
    plan = trial_plan(pairs, QUESTIONS, Design(trials_per_annotator=8, attention_share=0.25))
    seen = [Showing("alignment", "check", "a", "attention")]
    chosen = {choose_trial(plan, seen, Tallies.of(plan), seed).pair_id for seed in range(20)}
    assert chosen == {"pair-p2"}
    seen = [Showing("alignment", "pair-p1", "a", "main")]
    chosen = {choose_trial(plan, seen, Tallies.of(plan), seed).pair_id for seed in range(20)}
    assert chosen == {"pair-p0", "pair-p2"}


def test_the_same_seed_chooses_the_same_trial():
    plan = plan_of(n_prompts=8, n_matchups=3)
    chosen = [choose_trial(plan, [], Tallies.of(plan), seed) for seed in (1, 1, 2, 3, 4)]
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 2
