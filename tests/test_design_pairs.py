"""Pairs: two images of one prompt and seed, by two models that the study compares."""

import pandas as pd
import pytest

from evalkit.design import plan_checks, plan_pairs
from tests.study_factory import make_images, make_prompts, make_study

ALPHA, BETA, GAMMA = "secret-alpha", "secret-beta", "secret-gamma"


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
