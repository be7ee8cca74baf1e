"""The built-in models as shipped: they load with stock classes, are what the card says, resume."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evalkit.models.scenes.attributes import WEIGHTS
from evalkit.models.scenes.captions import write_caption
from evalkit.models.scenes.drawing import draw_picture
from evalkit.models.scenes.scene import draw_scene

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

FOLDER = WEIGHTS.parent
STEPS = {"scenes-base": (6, 4.0), "scenes-lcm": (2, 4.0), "scenes-turbo": (1, 0.0)}


def make_image(model: str, seed: int, prompt: str = "a large red heart on grass"):
    """Load as the large models are loaded: a base pipeline, UNet and scheduler swapped."""
    from diffusers import (
        AutoPipelineForText2Image,
        EulerAncestralDiscreteScheduler,
        LCMScheduler,
        UNet2DConditionModel,
    )

    pipeline = AutoPipelineForText2Image.from_pretrained(FOLDER / "scenes-base")
    if model != "scenes-base":
        scheduler = LCMScheduler if model == "scenes-lcm" else EulerAncestralDiscreteScheduler
        pipeline.unet = UNet2DConditionModel.from_pretrained(FOLDER / model, subfolder="unet")
        pipeline.scheduler = scheduler.from_pretrained(FOLDER / model, subfolder="scheduler")
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(torch.float32)
    steps, guidance = STEPS[model]
    generator = torch.Generator().manual_seed(seed)
    return pipeline(
        prompt, num_inference_steps=steps, guidance_scale=guidance, generator=generator
    ).images[0]


@pytest.mark.parametrize("model", STEPS)
def test_each_model_loads_with_stock_classes_and_follows_its_seed(model):
    image = make_image(model, seed=1)
    assert image.size == (96, 96)
    assert image.tobytes() == make_image(model, seed=1).tobytes()
    assert image.tobytes() != make_image(model, seed=2).tobytes()


def test_free_text_makes_an_image():
    prompt = "An Ünusual astronaut, riding 3 horses! " * 20
    assert make_image("scenes-turbo", seed=1, prompt=prompt).size == (96, 96)


def test_shared_parts_are_stored_once_and_files_are_small_and_readable():
    for model in ("scenes-lcm", "scenes-turbo"):
        assert {path.name for path in (FOLDER / model).iterdir()} == {"unet", "scheduler"}
    parts = {path.name for path in (FOLDER / "scenes-base").iterdir()}
    wanted = {"model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler"}
    assert parts == wanted
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 22e6
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)


def test_the_clip_prefers_the_right_caption():
    open_clip = pytest.importorskip("open_clip")
    name = f"local-dir:{FOLDER / 'scenes-clip'}"
    model, _, prepare = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    rng = np.random.default_rng(12)
    drawn = [draw_scene(rng, held_out=i % 2 == 1) for i in range(60)]
    captions = [write_caption(scene, rng, full=True) for scene in drawn]
    with torch.no_grad():
        images = torch.stack([prepare(draw_picture(scene)) for scene in drawn])
        seen = model.eval().encode_image(images, normalize=True)
        said = model.encode_text(tokenizer(captions), normalize=True)
        strange = model.encode_text(tokenizer(["", "Ünïcode ☂ " * 60]))
    first = (seen @ said.T).argmax(dim=1) == torch.arange(60)
    assert first.float().mean() > 0.8  # chance is 1 in 60
    assert torch.isfinite(strange).all()


def test_the_card_says_what_was_measured_for_every_model():
    from evalkit.models.scenes.training.card import SETTINGS

    card = json.loads((FOLDER / "card.json").read_text())
    measured = {(row["model"], row["steps"], row["guidance"]) for row in card["models"]}
    assert measured == {(s.model, s.steps, s.guidance) for s in SETTINGS}
    for row in card["models"]:
        assert 0 <= row["all"]["low"] <= row["all"]["estimate"] <= row["all"]["high"] <= 1
        assert row["every"]["n"] == card["prompts"]["n"] >= 160
        assert row["cpu_seconds_per_image"] > 0


def test_the_page_of_the_card_holds_the_numbers_of_the_card(tmp_path):
    from evalkit.models.scenes.training.card_page import write_page

    write_page(json.loads((FOLDER / "card.json").read_text()), tmp_path / "CARD.md")
    assert (tmp_path / "CARD.md").read_text() == (FOLDER / "CARD.md").read_text()
    assert (FOLDER / "contact-sheet.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Iterator[Path]:
    """A work folder with a few scenes and an untaught text encoder."""
    from evalkit.models.scenes.training import data, text, tokenizer

    # Two threads on two busy cores collapse.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    work = tmp_path_factory.mktemp("miniature")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "PCA_PICTURES", 40)
        patch.setattr(tokenizer, "CAPTIONS_READ", 200)
        data.make_data(work, processes=1, scenes=64)
    text.train_text(work, steps=2)
    yield work
    torch.set_num_threads(threads)


def test_a_stage_that_was_stopped_ends_as_one_that_was_not(miniature, monkeypatch):
    from evalkit.models.scenes.training import codec, consistency, teacher, turbo

    for module in (teacher, consistency, turbo):
        monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(codec, "ENCODER_STEPS", 1)
    parallel = {"rank": 0, "ranks": 1, "samples": 12}
    stages = {  # each distillation needs the stage before it
        "teacher": (teacher.train_teacher, parallel),
        "consistency": (consistency.train_consistency, parallel),
        "turbo": (turbo.train_turbo, parallel),
        "codec": (codec.train_codec, {"steps": 3}),
    }
    for name, (train, options) in stages.items():
        state = miniature / f"{name}-state.pt"
        train(miniature, **options)
        whole = torch.load(state, weights_only=True)
        state.unlink()
        train(miniature, stop_after=2, **options)
        assert torch.load(state, weights_only=True)["step"] == 2
        train(miniature, **options)
        resumed = torch.load(state, weights_only=True)
        assert resumed["step"] == whole["step"] == 3
        for part in whole["parts"]:
            if not part.endswith("optimizer"):
                assert_equal(whole["parts"][part], resumed["parts"][part])


def assert_equal(one: dict, other: dict) -> None:
    for key, value in one.items():
        if isinstance(value, dict):
            assert_equal(value, other[key])
        else:
            assert torch.equal(value, other[key]), key
