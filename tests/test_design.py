"""The design: pairs, checks, and simulated runs whose trials keep every promise."""

import itertools
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest

from evalkit.blinding import blind_pairs, shown_images
from evalkit.design import (
    MIN_REPEAT_GAP,
    Composition,
    Showing,
    Tally,
    choose_trial,
    composition,
    plan_checks,
    plan_pairs,
    planned_length,
    question_blocks,
    trial_plan,
)
from evalkit.study_sections import Design
from tests.study_factory import make_images, make_prompts, make_study, simulate_trials

ALPHA, BETA, GAMMA = "secret-alpha", "secret-beta", "secret-gamma"


def make_plan(tmp_path, n_prompts=8, **settings):
    study = make_study(tmp_path / "study", n_prompts=2, **settings).study
    prompts = make_prompts(n_prompts)
    images = make_images(study, prompts)
    pairs, checks = plan_pairs(images, study), plan_checks(images, prompts, study)
    names = {shown: f"{number}.png" for number, shown in enumerate(shown_images(pairs, checks))}
    blinded = blind_pairs(pairs, checks, prompts, names, study.seed)
    return trial_plan(blinded, study.questions, study.design)


def of_question(seen, question_id):
    return [showing for showing in seen if showing.question_id == question_id]


def of_kind(seen, kind):
    return [showing for showing in seen if showing.kind == kind]


# ---- pairs


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / "study", n_prompts=2, seeds=(0, 5)).study


@pytest.fixture
def images(study):
    return make_images(study, make_prompts(4))


def test_every_prompt_and_seed_gives_a_pair_for_every_two_models(study, images):
    pairs = plan_pairs(images, study)
    assert len(pairs) == 4 * 2 * 3
    assert (pairs["model_a"] < pairs["model_b"]).all()
    assert pairs["pair_id"].is_unique
    image = images.set_index("image_id")
    for pair in pairs.itertuples():
        for side, model in ((pair.image_a, pair.model_a), (pair.image_b, pair.model_b)):
            row = image.loc[side]
            assert (row["model"], row["prompt_id"], row["seed"]) == (
                model,
                pair.prompt_id,
                pair.seed,
            )


def test_pair_ids_do_not_depend_on_the_order_of_the_images(study, images):
    shuffled = images.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(plan_pairs(images, study), plan_pairs(shuffled, study))


def test_an_image_that_is_not_ok_makes_no_pair(study, images):
    lost = images["model"].eq(BETA) & images["prompt_id"].eq("p001") & images["seed"].eq(5)
    images.loc[lost, "status"] = "filtered"
    pairs = plan_pairs(images, study)
    assert len(pairs) == 24 - 2
    assert images.loc[lost, "image_id"].item() not in {*pairs["image_a"], *pairs["image_b"]}


def test_design_pairs_restricts_the_matchups(study, images):
    design = study.design.model_copy(update={"pairs": ((GAMMA, ALPHA),)})
    pairs = plan_pairs(images, study.model_copy(update={"design": design}))
    assert {(pair.model_a, pair.model_b) for pair in pairs.itertuples()} == {(ALPHA, GAMMA)}
    assert len(pairs) == 8


def test_no_images_give_no_pairs_and_no_checks(study, images):
    assert plan_pairs(images.head(0), study).empty
    assert plan_checks(images.head(0), make_prompts(4), study).empty


# ---- checks


def test_a_check_shows_the_right_image_beside_one_that_is_plainly_wrong(study, images):
    checks = plan_checks(images, make_prompts(4), study)
    image = images.set_index("image_id")
    assert set(checks["question_id"]) == {"quality", "alignment"}
    for check in checks.itertuples():
        right = check.image_a if check.expected == "a" else check.image_b
        wrong = check.image_b if check.expected == "a" else check.image_a
        assert image.loc[right, "prompt_id"] == check.prompt_id
        assert image.loc[right, "model"] == image.loc[wrong, "model"] == check.model
        assert image.loc[wrong, "prompt_id"] == check.foil_prompt_id
        if check.question_id == "quality":
            assert (check.foil, wrong) == ("pixelated", right)
        else:
            assert check.foil == "other_prompt"
            assert check.foil_prompt_id != check.prompt_id


def test_the_other_prompt_shares_the_fewest_words(tmp_path):
    study = make_study(tmp_path / "study", n_prompts=2, trials_per_annotator=200).study
    prompts = make_prompts(3).assign(prompt=["a red cat", "a red dog", "two blue boats"])
    checks = plan_checks(make_images(study, prompts), prompts, study)
    foils = checks[checks["foil"] == "other_prompt"].groupby("prompt_id")["foil_prompt_id"]
    assert foils.agg(set).to_dict() == {
        "p000": {"p002"},
        "p001": {"p002"},
        "p002": {"p000", "p001"},
    }


def test_the_right_side_of_checks_is_not_always_the_same(tmp_path):
    study = make_study(tmp_path / "study", n_prompts=2, trials_per_annotator=200).study
    checks = plan_checks(make_images(study, make_prompts(10)), make_prompts(10), study)
    assert 0.25 < (checks["expected"] == "a").mean() < 0.75


def test_no_attention_share_no_checks(tmp_path):
    study = make_study(tmp_path / "study", attention_share=0).study
    assert plan_checks(make_images(study, make_prompts(4)), make_prompts(4), study).empty


# ---- blocks


def test_questions_without_the_prompt_come_first_and_trials_are_split_evenly(study):
    blocks = question_blocks(study.questions, Design(trials_per_annotator=7))
    assert [(question.id, length) for question, length in blocks] == [
        ("quality", 4),
        ("alignment", 3),
    ]


@pytest.mark.parametrize(
    ("attention", "repeat", "length", "n_pairs", "n_checks", "expected"),
    [
        (0.05, 0.05, 50, 500, 9, (44, 3, 3)),  # 2.5 is rounded up
        (0.1, 0.1, 30, 500, 9, (24, 3, 3)),
        (0.1, 0.1, 30, 500, 1, (26, 1, 3)),  # checks bound the checks
        (0.1, 0.1, 30, 8, 9, (8, 1, 0)),  # the longest block with 8 main trials; no room to repeat
        (0.0, 0.5, 10, 500, 9, (10, 0, 0)),  # too short for a repeat
        (0.0, 0.5, 12, 500, 9, (10, 0, 2)),  # the last two can be repeats
        (0.5, 0.5, 100, 500, 99, (25, 50, 25)),
        (0.1, 0.1, 30, 0, 9, (0, 0, 0)),
    ],
)
def test_composition_of_a_block(attention, repeat, length, n_pairs, n_checks, expected):
    design = Design(attention_share=attention, repeat_share=repeat)
    assert composition(design, length, n_pairs, n_checks) == Composition(*expected)


# ---- trials, over simulated runs


@pytest.fixture(scope="module", params=range(5))
def run(request, tmp_path_factory):
    """Ten annotators of 40 trials each on 36 pairs: nobody runs out of pairs."""
    plan = make_plan(
        tmp_path_factory.mktemp("run"),
        n_prompts=12,
        trials_per_annotator=60,
        votes_per_pair=20,
    )
    return plan, simulate_trials(plan, n_annotators=10, seed=request.param)


def test_trial_counts_are_as_the_study_states(run):
    _, everyone = run
    for seen in everyone:
        for question_id in ("quality", "alignment"):
            kinds = Counter(showing.kind for showing in of_question(seen, question_id))
            assert kinds == {"main": 24, "attention": 3, "repeat": 3}


def test_the_quality_block_comes_before_the_alignment_block(run):
    _, everyone = run
    for seen in everyone:
        assert [showing.question_id for showing in seen] == ["quality"] * 30 + ["alignment"] * 30


def test_no_pair_twice_for_one_question_but_planned_repeats(run):
    _, everyone = run
    for seen in everyone:
        shown = [(s.question_id, s.pair_id) for s in seen if s.kind != "repeat"]
        assert len(shown) == len(set(shown))
        repeated = [(s.question_id, s.pair_id) for s in of_kind(seen, "repeat")]
        assert len(repeated) == len(set(repeated))


def test_repeats_come_late_enough_with_sides_swapped(run):
    _, everyone = run
    for seen in everyone:
        for place, showing in enumerate(seen):
            if showing.kind == "repeat":
                first = next(
                    i
                    for i, s in enumerate(seen)
                    if (s.question_id, s.pair_id) == (showing.question_id, showing.pair_id)
                )
                assert seen[first].kind == "main"
                assert place - first >= MIN_REPEAT_GAP
                assert showing.left != seen[first].left


def test_sides_are_balanced_to_within_one_at_every_moment(run):
    plan, everyone = run
    for seen in everyone:
        surplus, by_question = defaultdict(int), defaultdict(int)
        for showing in of_kind(seen, "main"):
            matchup = plan.pairs[showing.pair_id].matchup
            step = 1 if showing.left == "a" else -1
            surplus[matchup] += step
            by_question[matchup, showing.question_id] += step
            assert abs(surplus[matchup]) <= 1
            assert abs(by_question[matchup, showing.question_id]) <= 1


def test_sides_do_not_alternate_by_a_rule(run):
    _, everyone = run
    lefts = ["".join(s.left for s in of_kind(seen, "main")) for seen in everyone]
    assert len(set(lefts)) == len(lefts)
    share = sum(left.count("a") for left in lefts) / sum(map(len, lefts))
    assert 0.45 < share < 0.55


def test_pairs_are_levelled_over_annotators(run):
    plan, everyone = run
    for question_id in ("quality", "alignment"):
        issued = Counter(dict.fromkeys(plan.main, 0))
        for seen in everyone:
            mains = of_kind(of_question(seen, question_id), "main")
            issued.update(showing.pair_id for showing in mains)
            assert max(issued.values()) - min(issued.values()) <= 2


def test_no_prompt_is_shown_twice_in_a_row(run):
    plan, everyone = run
    for seen in everyone:
        for before, after in itertools.pairwise(seen):
            assert not plan.pairs[before.pair_id].prompt_ids & plan.pairs[after.pair_id].prompt_ids


def test_checks_and_repeats_fall_at_random_places(run):
    _, everyone = run
    places = {tuple(i for i, s in enumerate(seen) if s.kind == "attention") for seen in everyone}
    assert len(places) == len(everyone)


@pytest.mark.parametrize("seed", range(3))
def test_every_pair_gets_its_votes_and_then_the_study_is_done(tmp_path, seed):
    plan = make_plan(tmp_path, n_prompts=4, trials_per_annotator=10, votes_per_pair=3)
    everyone = simulate_trials(plan, n_annotators=20, seed=seed)
    mains = Counter((s.question_id, s.pair_id) for seen in everyone for s in of_kind(seen, "main"))
    assert len(mains) == 2 * 12
    assert set(mains.values()) == {3}
    assert everyone[-1] == []


def test_a_short_block_has_no_repeats_and_fills_up_with_pairs(tmp_path):
    plan = make_plan(tmp_path, trials_per_annotator=20, attention_share=0, repeat_share=0.4)
    seen = simulate_trials(plan, n_annotators=1, seed=0)[0]
    assert Counter(showing.kind for showing in seen) == {"main": 20}


def test_with_the_largest_shares_a_repeat_without_room_becomes_a_main_trial(tmp_path):
    plan = make_plan(
        tmp_path,
        n_prompts=12,
        trials_per_annotator=80,
        attention_share=0.5,
        repeat_share=0.5,
        votes_per_pair=9,
    )
    for seen in simulate_trials(plan, n_annotators=5, seed=1):
        kinds = Counter(s.kind for s in of_question(seen, "quality"))
        planned = composition(plan.design, 40, 36, len(plan.blocks[0].checks))
        assert kinds["attention"] == planned.attention == 20
        assert kinds["main"] + kinds["repeat"] == 20
        assert planned.repeat - 2 <= kinds["repeat"] <= planned.repeat == 10


def test_a_pair_that_was_issued_but_never_answered_is_issued_again(tmp_path):
    plan = make_plan(tmp_path, n_prompts=4, votes_per_pair=1, attention_share=0, repeat_share=0)
    pair = plan.main[0]
    tallies = {("quality", other): Tally(1, 1) for other in plan.main if other != pair}
    tallies |= {("alignment", other): Tally(1, 1) for other in plan.main}
    tallies["quality", pair] = Tally(issued=1, voted=0)
    assert choose_trial(plan, [], tallies, seed=0).pair_id == pair
    tallies["quality", pair] = Tally(issued=1, voted=1)
    assert choose_trial(plan, [], tallies, seed=0) is None


def test_a_pair_that_others_are_looking_at_counts_as_voted_on(tmp_path):
    plan = make_plan(tmp_path, n_prompts=4, votes_per_pair=2, attention_share=0, repeat_share=0)
    free, *rest = plan.main
    tallies = {("quality", pair): Tally(issued=2, voted=1, open=1) for pair in rest}
    tallies["quality", free] = Tally(issued=9, voted=1, open=0)
    assert choose_trial(plan, [], tallies, seed=0).pair_id == free
    seen = [Showing("quality", free, "a", "main")]
    # All that are left are with others: each is issued once more, and not twice.
    again = choose_trial(plan, seen, tallies, seed=0)
    assert (again.question_id, again.kind) == ("quality", "main")
    tallies = {("quality", pair): Tally(issued=3, voted=1, open=2) for pair in plan.main}
    assert choose_trial(plan, seen, tallies, seed=0).question_id == "alignment"


@pytest.mark.parametrize("leaving", [0.0, 0.03])
@pytest.mark.parametrize("seed", range(3))
def test_annotators_at_once_give_each_pair_its_votes_and_at_most_one_more(tmp_path, seed, leaving):
    """24 annotators in random order on 99 pairs; a share of the trials is left open for ever."""
    plan = make_plan(
        tmp_path, n_prompts=33, votes_per_pair=4, trials_per_annotator=200,
        attention_share=0, repeat_share=0,
    )  # fmt: skip
    votes = vote_at_once(plan, n_annotators=24, seed=seed, leaving=leaving)
    counts = [votes["quality", pair] for pair in plan.main]
    assert max(counts) <= 5
    assert sum(counts) <= 4 * 99 + 24
    assert sum(count < 4 for count in counts) <= (2 if leaving else 0)


def vote_at_once(plan, n_annotators, seed, leaving):
    """Votes by (question_id, pair_id), of annotators who each have a trial open all the time."""
    rng = np.random.default_rng(seed)
    seen, votes, opened = defaultdict(list), Counter(), Counter()
    holding, here = {}, list(range(n_annotators))
    while here:
        annotator = here[rng.integers(len(here))]
        if annotator in holding:
            key = holding.pop(annotator)
            votes[key] += 1
            opened[key] -= 1
        tallies = {
            key: Tally(votes[key] + opened[key], votes[key], opened[key])
            for key in votes.keys() | opened.keys()
        }
        showing = choose_trial(plan, seen[annotator], tallies, int(rng.integers(2**63)))
        if showing is None or showing.question_id == "alignment":
            here.remove(annotator)
            continue
        seen[annotator].append(showing)
        opened[showing.question_id, showing.pair_id] += 1
        if rng.random() < leaving:
            here.remove(annotator)
        else:
            holding[annotator] = (showing.question_id, showing.pair_id)
    return votes


@pytest.mark.parametrize(
    ("n_main", "n_attention", "n_repeat"), [(5, 9, 0), (12, 0, 10)], ids=["checks", "repeats"]
)
def test_checks_and_repeats_shown_early_cost_no_pair_its_trial(
    tmp_path, n_main, n_attention, n_repeat
):
    """Others completed most pairs meanwhile: the block is shorter than it was planned."""
    plan = make_plan(
        tmp_path, n_prompts=12, trials_per_annotator=80, votes_per_pair=1,
        attention_share=0.3 * bool(n_attention), repeat_share=0.3 * bool(n_repeat),
    )  # fmt: skip
    seen = [Showing("quality", pair, "a", "main") for pair in plan.main[:n_main]]
    checks = plan.blocks[0].checks[:n_attention]
    seen += [Showing("quality", pair, "a", "attention") for pair in checks]
    seen += [Showing("quality", pair, "b", "repeat") for pair in plan.main[:n_repeat]]
    last = plan.main[-1]
    tallies = {("quality", pair): Tally(1, 1) for pair in plan.main if pair != last}
    chosen = choose_trial(plan, seen, tallies, seed=0)
    assert (chosen.question_id, chosen.kind, chosen.pair_id) == ("quality", "main", last)
    blocks = [block.length for block in plan.blocks]
    assert planned_length(plan, seen, tallies) == len(seen) + 1 + blocks[1]


def test_a_block_once_left_is_not_opened_again(tmp_path):
    plan = make_plan(tmp_path)
    seen = [Showing("alignment", plan.main[0], "a", "main")]
    assert choose_trial(plan, seen, {}, seed=0).question_id == "alignment"


def test_the_same_seed_chooses_the_same_trial(tmp_path):
    plan = make_plan(tmp_path)
    chosen = [choose_trial(plan, [], {}, seed) for seed in (1, 1, 2, 3, 4)]
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 2


def test_planned_length_is_what_comes_to_pass(tmp_path):
    plan = make_plan(tmp_path, n_prompts=12, trials_per_annotator=60, votes_per_pair=9)
    seen = simulate_trials(plan, n_annotators=1, seed=4)[0]
    tallies = Counter((s.question_id, s.pair_id) for s in of_kind(seen, "main"))
    tallies = {key: Tally(n, n) for key, n in tallies.items()}
    assert [planned_length(plan, seen[:n], tallies) for n in range(len(seen) + 1)] == [60] * 61
