"""A model's table in a study: what it may change, and what an image's id says of the settings."""

from pathlib import Path

import pytest

from evalkit.errors import StudyError
from evalkit.models import DiffusionModel, resolve
from evalkit.models.catalogue import checkpoint_path


def spec(**changes):
    return resolve("mine", {"catalogue": "sdxl-turbo", **changes}, "study.toml: models.mine")


def test_every_setting_of_the_image_may_be_changed_and_no_other():
    said = {"name", "catalogue", "licence", "source", "note"}
    assert set(DiffusionModel.changeable()) == set(DiffusionModel.model_fields) - said


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ({"catalogue": "sdxl-trubo"}, ['unknown model "sdxl-trubo"', '"sdxl-turbo"?']),
        ({"stpes": 4}, ['unknown key "stpes"', 'did you mean "steps"?']),
        ({"licence": "mine"}, ['unknown key "licence"']),
        ({"steps": 0}, ["steps = 0", "greater than or equal to 1"]),
        ({"width": 100}, ["width = 100", "multiple of 8"]),
        ({"steps": "4"}, ["steps = '4'", "valid integer"]),
        ({"catalogue": ["sdxl"]}, ["unknown model \"['sdxl']\"; the catalogue has"]),
        ({"unet_variant": "fp16"}, ['unet_variant = "fp16" without unet_repository']),
        ({"unet_subfolder": "unet"}, ["unet_subfolder", "give unet_repository, or take"]),
        ({"unet_revision": "abc"}, ["unet_revision"]),
        ({"lora_revision": "abc"}, ["lora_revision", "without lora_repository"]),
        ({"lora_file": "x.safetensors"}, ["lora_file", 'take lora_file back with lora_file = ""']),
        ({"catalogue": "lcm-sdxl", "unet_repository": ""}, ['with unet_variant = ""']),
        ({"precision": "fp16"}, ['precision = "fp16"', "float32, float16, bfloat16"]),
    ],
)
def test_a_wrong_table_is_one_sentence(table, parts):
    with pytest.raises(StudyError) as caught:
        spec(**table)
    for part in [*parts, "models.mine"]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_text_takes_an_optional_setting_back():
    assert spec().variant == "fp16"
    assert spec(variant="").variant is None
    assert spec(scheduler="").scheduler is None
    assert spec(negative_prompt="").negative_prompt == ""


def test_the_settings_of_a_part_that_is_taken_back_are_taken_back_with_it():
    taken = spec(catalogue="lcm-sdxl", unet_repository="", unet_variant="", lora_file="")
    assert (taken.unet_repository, taken.unet_variant) == (None, None)


@pytest.mark.parametrize("part", ["repository", "unet_repository", "lora_repository"])
def test_a_repository_that_is_replaced_takes_its_revision_with_it(part):
    name = {"unet_repository": "dmd2", "lora_repository": "lcm-lora-sdxl"}.get(part, "sdxl")
    key = part.replace("repository", "revision")
    pinned = getattr(spec(catalogue=name), key)
    assert len(pinned) == 40
    assert getattr(spec(catalogue=name, **{part: "org/other"}), key) is None
    assert getattr(spec(catalogue=name, **{part: "org/other", key: "v2"}), key) == "v2"
    same = getattr(spec(catalogue=name), part)
    assert getattr(spec(catalogue=name, **{part: same}), key) == pinned


def test_image_ids_differ_by_everything_that_decides_the_image():
    changes = [
        {}, {"steps": 4}, {"guidance": 1.0}, {"width": 256}, {"height": 256}, {"revision": "abc"},
        {"repository": "/x"}, {"variant": ""}, {"precision": "float32"}, {"vae_precision": ""},
        {"negative_prompt": "blur"}, {"scheduler": ""}, {"lora_repository": "/l"},
        {"scheduler_settings": {"timestep_spacing": "leading"}}, {"unet_repository": "/u"},
    ]  # fmt: skip
    ids = {spec(**change).image_id("a cat", 0) for change in changes}
    ids |= {spec().image_id("a dog", 0), spec().image_id("a cat", 1)}
    assert len(ids) == len(changes) + 2
    assert all(len(i) == 32 and set(i) <= set("0123456789abcdef") for i in ids)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("nested", [False, True])
def test_numbers_that_an_id_cannot_tell_apart_are_refused(number, nested):
    """In JSON all of them are null: three settings, one id."""
    given = {"a": [{"b": number}]} if nested else {"a": number}
    function = {"callable": "m:f", "width": 32, "height": 32}
    for table, key in (
        ({"catalogue": "sdxl", "call_settings": given}, "call_settings"),
        ({"catalogue": "sdxl", "scheduler_settings": given}, "scheduler_settings"),
        ({**function, "arguments": given}, "arguments"),
    ):
        with pytest.raises(StudyError, match=rf"^x: {key} = .*{number}.*; give finite") as caught:
            resolve("m", table, "x")
        assert "\n" not in str(caught.value)


def test_image_ids_do_not_depend_on_the_name_or_on_settings_left_alone():
    mine = spec()
    other = resolve("other", {"catalogue": "sdxl-turbo", "steps": 1, "guidance": 0}, "x")
    assert mine.image_id("a cat", 0) == other.image_id("a cat", 0)


def test_the_id_of_an_image_is_the_same_in_every_version():
    """A setting that comes to be later must not change it: old images would be made anew."""
    model = DiffusionModel(
        name="a", catalogue="b", repository="r", steps=2, guidance=1.5, width=64, height=32
    )
    # printf of the canonical JSON through sha256sum, first 32 digits.
    assert model.image_id("a red cat", 7) == "bfb8df9f05efdc98fcb1133af9f290b8"


def test_builtin_repositories_are_folders_of_the_package():
    path = Path(checkpoint_path("built-in:scenes-base"))
    assert path.parts[-4:] == ("models", "scenes", "weights", "scenes-base")
    assert checkpoint_path("stabilityai/sdxl-turbo") == "stabilityai/sdxl-turbo"
