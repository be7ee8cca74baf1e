"""Checks: the right image beside a plainly wrong one, in roles that never share an image."""

import pytest

from evalkit import tables
from evalkit.blinding import blind_pairs, shown_images
from evalkit.design import plan_checks, plan_pairs, trial_plan
from tests.study_factory import make_images, make_prompts, make_study


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / "study", n_prompts=2, practice_trials=2).study


@pytest.fixture
def images(study):
    return make_images(study, make_prompts(4))


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


def test_no_attention_share_no_attention_checks(tmp_path):
    study = make_study(tmp_path / "study", attention_share=0).study
    checks = plan_checks(make_images(study, make_prompts(4)), make_prompts(4), study)
    assert checks["role"].tolist() == ["example"]


@pytest.fixture
def checks(study, images):
    return plan_checks(images, make_prompts(4), study)


def test_each_question_has_its_checks_practice_and_an_example_where_the_prompt_is_hidden(checks):
    """12 trials: 6 per question, of which 0.6 = 1 is a check; one more is spare."""
    assert checks.groupby(["question_id", "role"]).size().to_dict() == {
        ("quality", "attention"): 2,
        ("quality", "practice"): 2,
        ("quality", "example"): 1,
        ("alignment", "attention"): 2,
        ("alignment", "practice"): 2,
    }


def test_no_image_is_the_right_one_of_two_checks_of_a_question(checks):
    right = checks["image_a"].where(checks["expected"] == "a", checks["image_b"])
    assert not checks.assign(right=right).duplicated(["question_id", "right"]).any()


@pytest.mark.parametrize(
    ("n_images", "roles"),
    [
        (9, ["attention", "attention", "practice", "practice", "practice", "example", "attention"]),
        (6, ["attention", "attention", "practice", "practice", "practice", "example"]),
        (5, ["attention", "attention", "practice", "practice", "practice"]),
        (3, ["attention", "attention", "practice"]),
        (1, ["attention"]),
    ],
)
def test_where_images_are_few_spare_checks_are_left_out_first(tmp_path, n_images, roles):
    """20 trials per question of which 2 are checks, 2 spare: 8 images would do for all."""
    study = make_study(tmp_path, n_prompts=2, trials_per_annotator=40, practice_trials=3).study
    images = make_images(study, make_prompts(3))
    checks = plan_checks(images.head(n_images), make_prompts(3), study)
    found = checks.loc[checks["question_id"] == "quality", "role"].tolist()
    assert found[: len(roles)] == roles
    assert len(found) == min(8, n_images)


def test_a_plan_with_few_images_says_how_much_practice_it_has(tmp_path):
    study = make_study(tmp_path, n_prompts=2, trials_per_annotator=40, practice_trials=20).study
    prompts = make_prompts(5)
    images = make_images(study, prompts)
    pairs, checks = plan_pairs(images, study), plan_checks(images, prompts, study)
    names = {shown: f"{number}.png" for number, shown in enumerate(shown_images(pairs, checks))}
    blinded = blind_pairs(pairs, checks, prompts, names, study.seed)
    plan = trial_plan(blinded, study.questions, study.design)
    assert [part.question_id for part in plan.parts] == ["quality", "alignment"]
    # 15 images: 2 checks that are needed come first, and 13 are left for practice.
    assert [len(part.attention) for part in plan.parts] == [2, 2]
    assert [len(part.practice) for part in plan.parts] == [13, 13]
    assert set(plan.main) == set(pairs["pair_id"])


def test_examples_are_no_trials(study, images, checks):
    prompts = make_prompts(4)
    pairs = plan_pairs(images, study)
    names = {shown: f"{number}.png" for number, shown in enumerate(shown_images(pairs, checks))}
    blinded = blind_pairs(pairs, checks, prompts, names, study.seed)
    plan = trial_plan(blinded, study.questions, study.design)
    [example] = checks.loc[checks["role"] == "example", "pair_id"]
    assert example in set(blinded["pair_id"])
    assert example not in plan.pairs
    assert set(plan.ids) == set(blinded["pair_id"]) - {example}


def test_checks_written_before_roles_existed_can_be_read(tmp_path, checks):
    path = tmp_path / "checks.csv"
    checks.drop(columns="role").to_csv(path, index=False)
    old = tables.read(path, tables.CHECKS)
    assert old["expected"].tolist() == checks["expected"].tolist()
    assert "role" not in old.columns
