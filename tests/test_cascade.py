"""DeepFloyd IF and the x4 upscaler in miniature: the library called by hand, stage by stage."""

import json
import shutil
import weakref

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.deepfloyd_if.safety_checker import IFSafetyChecker
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor, T5EncoderModel

from evalkit.errors import ModelError, StudyError
from evalkit.generation import generate
from evalkit.models import resolve
from evalkit.pipelines import OutOfMemoryError, cascade, load_pipeline, noise_seed
from tests import cascade_miniatures, miniatures
from tests.miniatures import study_file

PROMPTS = ["a red cat", "two green dogs", "a red cat", "a house by the sea"]
SEEDS = [0, 0, 1, 5]
REQUESTS = miniatures.requests(PROMPTS, SEEDS)

ONE = {"steps": 4, "guidance": 7.0}
TWO = {"steps": 3, "guidance": 4.0, "noise_level": 200}
THREE = {"steps": 3, "guidance": 9.0, "noise_level": 100}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The miniature checkpoints by name."""
    root = tmp_path_factory.mktemp("checkpoints")
    cascade_miniatures.stage_one(root / "one")
    cascade_miniatures.stage_two(root / "two")
    cascade_miniatures.stage_three(root / "three")
    cascade_miniatures.stage_one(root / "unsafe_one", flags=(1.0, 0.0))
    cascade_miniatures.stage_two(root / "marked_two", flags=(0.0, 1.0))
    cascade_miniatures.stage_two(root / "passing_two", flags=(0.0, 0.0))
    miniatures.filtered_sd(root / "sd")
    return {path.name: path for path in root.iterdir()}


def model(made, *stages, side=64, **changes):
    tables = [{"repository": str(made[name]), **settings} for name, settings in stages]
    table = {"stages": tables, "width": side, "height": side, **changes}
    return resolve("mini", table, "study.toml: models.mini")


@pytest.fixture(scope="module")
def whole(made):
    """The three stages, and the images that they make."""
    return load_pipeline(model(made, ("one", ONE), ("two", TWO), ("three", THREE)), "cpu")


def pixels(results):
    assert [(result.status, result.reason) for result in results] == [("ok", "")] * len(results)
    return np.stack([np.asarray(result.image) for result in results]).astype(int)


def by_hand(kind, folder, **parts):
    pipeline = getattr(diffusers, kind).from_pretrained(folder, **parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def chain_by_hand(made, names, negative=None):
    """As the model card of IF has it, one prompt at a time; the last stage gives PIL images."""
    one = by_hand("IFPipeline", made["one"], watermarker=None)
    two = by_hand("IFSuperResolutionPipeline", made["two"], text_encoder=None, watermarker=None)
    three = by_hand("StableDiffusionUpscalePipeline", made["three"])
    images = []
    for prompt, seed in zip(PROMPTS, SEEDS, strict=True):
        generator = torch.Generator().manual_seed(noise_seed(prompt, seed))
        embeds, negative_embeds = one.encode_prompt(prompt, negative_prompt=negative)
        text = {"prompt_embeds": embeds, "negative_prompt_embeds": negative_embeds}
        hands_on = {name: "pil" if name == names[-1] else "pt" for name in names}
        image = one(
            **text,
            num_inference_steps=4,
            guidance_scale=7.0,
            generator=generator,
            output_type=hands_on["one"],
        ).images
        if "two" in names:
            image = two(
                image=image,
                **text,
                num_inference_steps=3,
                guidance_scale=4.0,
                noise_level=200,
                generator=generator,
                output_type=hands_on["two"],
            ).images
        if "three" in names:
            image = three(
                prompt=prompt,
                negative_prompt=negative,
                image=image,
                num_inference_steps=3,
                guidance_scale=9.0,
                noise_level=100,
                generator=generator,
            ).images
        images += image
    return np.stack([np.asarray(image) for image in images]).astype(int)


def test_three_stages_are_what_the_library_makes(made, whole):
    found = pixels(whole.render(REQUESTS))
    assert found.shape == (4, 64, 64, 3)
    assert found.std(axis=(1, 2, 3)).min() > 10  # pictures, not one colour
    assert np.abs(found - chain_by_hand(made, ["one", "two", "three"])).max() <= 1


def test_fewer_stages_are_what_the_library_makes(made):
    settings = {"one": ONE, "two": TWO, "three": THREE}
    for names, side in ((["one"], 8), (["one", "two"], 16), (["one", "three"], 32)):
        spec = model(made, *((name, settings[name]) for name in names), side=side)
        found = pixels(load_pipeline(spec, "cpu").render(REQUESTS))
        assert found.shape == (4, side, side, 3)
        assert np.abs(found - chain_by_hand(made, names)).max() <= 1


def test_a_negative_prompt_counts_in_every_stage(made, whole):
    stages = (("one", ONE), ("two", TWO), ("three", THREE))
    spec = model(made, *stages, negative_prompt="two dogs")
    found = pixels(load_pipeline(spec, "cpu").render(REQUESTS))
    expected = chain_by_hand(made, ["one", "two", "three"], negative="two dogs")
    assert np.abs(found - expected).max() <= 1
    assert (np.abs(found - pixels(whole.render(REQUESTS))).max(axis=(1, 2, 3)) > 1).all()


def test_an_image_does_not_depend_on_its_batch(whole):
    together = pixels(whole.render(REQUESTS))
    alone = np.concatenate([pixels(whole.render([request])) for request in REQUESTS])
    backwards = pixels(whole.render(REQUESTS[::-1]))[::-1]
    assert np.abs(together - alone).max() <= 1
    assert np.abs(together - backwards).max() <= 1
    for one in range(4):
        for two in range(one):
            assert np.abs(together[one] - together[two]).max() > 1


def test_a_bright_image_is_enlarged_as_any_other(made, whole, monkeypatch):
    """The library takes a batch without dark pixels in [-1, 1] for one in [0, 1]."""
    two, three = (loaded.pipeline for loaded in whole._stages[1:])
    seen = []
    monkeypatch.setattr(
        type(three.image_processor),
        "normalize",
        staticmethod(lambda image: seen.append(image) or 2.0 * image - 1.0),
    )
    inner = type(two).__call__
    bright = torch.full((1, 3, 16, 16), 0.5)  # in [-1, 1]: three quarters of white
    monkeypatch.setattr(
        type(two), "__call__", lambda *_, **__: diffusers.ImagePipelineOutput(images=bright)
    )
    whole.render(REQUESTS[:1])
    monkeypatch.setattr(type(two), "__call__", inner)
    [image] = seen
    assert torch.equal(image, torch.full((1, 3, 16, 16), 0.75))


def test_prompts_are_encoded_once_for_all_stages_and_seeds(made, monkeypatch):
    loads, rows = [], []
    load, forward = T5EncoderModel.from_pretrained.__func__, T5EncoderModel.forward
    monkeypatch.setattr(
        T5EncoderModel,
        "from_pretrained",
        classmethod(lambda kind, *a, **k: loads.append(a) or load(kind, *a, **k)),
    )
    monkeypatch.setattr(
        T5EncoderModel,
        "forward",
        lambda self, ids, **k: rows.append(len(ids)) or forward(self, ids, **k),
    )
    spec = model(made, ("one", ONE), ("two", TWO), ("three", THREE))
    load_pipeline(spec, "cpu").render(REQUESTS)
    assert len(loads) == 1
    assert sum(rows) == 3 + 1  # the distinct prompts, and the empty one of the guidance


def test_the_negative_prompt_is_encoded_once_for_all_batches(whole, monkeypatch):
    rows, forward = [], T5EncoderModel.forward
    whole.render(REQUESTS[:1])
    monkeypatch.setattr(
        T5EncoderModel,
        "forward",
        lambda self, ids, **k: rows.append(len(ids)) or forward(self, ids, **k),
    )
    whole.render(REQUESTS)
    assert rows == [3]  # the distinct prompts alone


def test_the_autoencoder_has_a_precision_of_its_own(made, monkeypatch):
    """The library decodes the upscaler's float16 in float32; in bfloat16 it is as good as that."""
    stages = (("one", ONE), ("two", TWO), ("three", THREE))
    monkeypatch.setattr(cascade, "resolve_precision", lambda precision, device: precision)
    assert resolve("deepfloyd-if", {}, "x").vae_precision == "bfloat16"
    images, dtypes = {}, {}
    for own in ("", "bfloat16"):
        spec = model(made, *stages, precision="float16", vae_precision=own)
        loaded = load_pipeline(spec, "cpu")
        vae = loaded._stages[2].pipeline.vae
        vae.decoder.register_forward_pre_hook(
            lambda _, args, own=own: dtypes.update({own: args[0].dtype})
        )
        images[own] = pixels(loaded.render(REQUESTS))
        said = own or "library's for float16"
        assert loaded.made_with["vae_precision"] == said
    assert dtypes == {"": torch.float32, "bfloat16": torch.bfloat16}
    assert np.abs(images[""] - images["bfloat16"]).mean() < 3


def test_stages_have_their_channels_last(whole):
    assert whole.made_with["memory_format"] == "channels_last"
    for loaded in whole._stages:
        weight = loaded.pipeline.unet.conv_in.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_wrong_size_is_refused_before_any_weights(made, monkeypatch):
    def load(*_, **__):
        raise AssertionError("weights are loaded")

    monkeypatch.setattr(cascade, "_pipeline", load)
    for names, side in ((["one", "two"], 16), (["one", "two", "three"], 64)):
        spec = model(made, *((name, {"steps": 1, "guidance": 1.0}) for name in names), side=128)
        with pytest.raises(ModelError, match=f"make images of {side}x{side} px"):
            load_pipeline(spec, "cpu")


def test_what_was_loaded_until_it_did_not_fit_is_let_go(made, monkeypatch):
    left = []

    def to(self, device):
        left.append(weakref.ref(self.unet))
        if len(left) == 2:
            torch.empty(2**60)  # no machine has it: the CPU allocator's own error
        return self

    monkeypatch.setattr(diffusers.DiffusionPipeline, "to", to)
    spec = model(made, ("one", ONE), ("two", TWO), side=16)
    with pytest.raises(ModelError, match="does not fit into the memory") as caught:
        load_pipeline(spec, "cpu")
    assert caught.value  # kept here, as by a run that goes on without it
    assert [ref() for ref in left] == [None, None]


@pytest.mark.parametrize("fails", [lambda *_, **__: 1 / 0, lambda *_, **__: torch.empty(2**60)])
def test_a_closed_cascade_holds_no_weights_and_its_errors_neither(made, fails):
    loaded = load_pipeline(model(made, ("one", ONE), ("two", TWO), side=16), "cpu")
    unet = weakref.ref(loaded._stages[0].pipeline.unet)
    loaded._stages[1].pipeline.unet.forward = fails
    with pytest.raises(ModelError) as caught:
        loaded.render(REQUESTS[:1])
    assert caught.value
    loaded.close()
    assert unet() is None


def test_what_it_is_made_with(made):
    stages = (("one", ONE), ("two", TWO), ("three", THREE))
    made_with = load_pipeline(model(made, *stages, precision="float16"), "cpu").made_with
    assert made_with["pipeline"] == (
        "IFPipeline -> IFSuperResolutionPipeline -> StableDiffusionUpscalePipeline"
    )
    assert made_with["scheduler"] == "DDPMScheduler -> DDPMScheduler -> DDIMScheduler"
    assert [c["variance_type"] for c in made_with["scheduler_config"][:2]] == ["learned_range"] * 2
    assert made_with["scheduler_config"][2]["prediction_type"] == "v_prediction"
    assert (made_with["device"], made_with["precision"]) == ("cpu", "float32")
    assert made_with["commit"] == [None, None, None]  # folders have none
    assert {"evalkit", "torch", "diffusers", "transformers"} <= made_with["versions"].keys()
    json.dumps(made_with)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_sixteen_bits_as_on_a_gpu_stay_close(made, monkeypatch, precision):
    """All parts compute in the precision, the safety filter too."""
    stages = (("one", ONE), ("passing_two", TWO), ("three", THREE))
    spec = model(made, *stages, precision=precision)
    exact = pixels(load_pipeline(spec, "cpu").render(REQUESTS))
    monkeypatch.setattr(cascade, "resolve_precision", lambda precision, device: precision)
    loaded = load_pipeline(spec, "cpu")
    assert loaded.made_with["precision"] == precision
    used = {next(s.pipeline.unet.parameters()).dtype for s in loaded._stages}
    assert used == {getattr(torch, precision)}
    assert np.abs(pixels(loaded.render(REQUESTS)) - exact).mean() < 10


@pytest.mark.parametrize(
    ("stages", "side", "reason"),
    [
        ([("unsafe_one", ONE)], 8, "stage 1: unsafe"),
        ([("unsafe_one", ONE), ("two", TWO)], 16, "stage 1: unsafe"),
        ([("one", ONE), ("marked_two", TWO), ("three", THREE)], 64, "stage 2: watermarked"),
        ([("unsafe_one", ONE), ("passing_two", TWO), ("three", THREE)], 64, ""),
    ],
)
def test_the_nearest_safety_filter_looks_at_the_finished_image(made, stages, side, reason):
    results = load_pipeline(model(made, *stages, side=side), "cpu").render(REQUESTS[:2])
    status, said = ("filtered", f"the safety filter of {reason}") if reason else ("ok", "")
    assert [(result.status, result.reason) for result in results] == [(status, said)] * 2
    assert all((result.image is None) == bool(reason) for result in results)


def test_the_safety_filter_decides_as_the_library_s_own(made, tmp_path):
    """With weights, so that some images are withheld and some are not."""
    folder = shutil.copytree(made["passing_two"], tmp_path / "two") / "safety_checker"
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(3)
    weights["p_head.weight"] = torch.randn(1, 8)
    checker = IFSafetyChecker(CLIPConfig.from_pretrained(folder))
    extractor = CLIPImageProcessor.from_pretrained(tmp_path / "two" / "feature_extractor")
    images = [Image.fromarray(i.astype(np.uint8)) for i in chain_by_hand(made, ["one", "two"])]
    with torch.no_grad():
        checker.load_state_dict(weights)
        embeds = checker.vision_model(extractor(images, return_tensors="pt").pixel_values)[0]
        told = (embeds @ weights["p_head.weight"].T).flatten()
        low, high = told.sort().values[1:3]
        weights["p_head.bias"] = 0.5 - (low + high)[None] / 2  # two of four are above 0.5
        checker.load_state_dict(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _, expected, _ = checker(
        images=np.zeros((4, 16, 16, 3)),
        clip_input=extractor(images, return_tensors="pt").pixel_values,
    )
    assert sorted(expected) == [False, False, True, True]
    spec = model({**made, "two": tmp_path / "two"}, ("one", ONE), ("two", TWO), side=16)
    results = load_pipeline(spec, "cpu").render(REQUESTS)
    assert [result.status == "filtered" for result in results] == expected


def test_out_of_memory_is_told_apart(whole, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "forward", full)
    with pytest.raises(OutOfMemoryError, match="out of memory with 4 images"):
        whole.render(REQUESTS)


def test_no_prompts_no_images(whole):
    assert whole.render([]) == []


@pytest.mark.parametrize(
    ("names", "side", "parts"),
    [
        (["three"], 32, ["stage 1", "StableDiffusionUpscalePipeline", "allowed there is IFPipe"]),
        (["one", "one"], 8, ["stage 2", "is a IFPipeline", "IFSuperResolutionPipeline or Stable"]),
        (["one", "sd"], 8, ["has the safety filter StableDiffusionSafetyChecker"]),
        (["one", "two"], 64, ["make images of 16x16 px", "are 64x64", "write width = 16"]),
        (["one", "no_words"], 32, ['/no_words" has no tokenizer,']),
        (["one", "nowhere"], 64, ['no folder "/nowhere/at-all"']),
        (["one", "empty"], 64, ["cannot be loaded", "model_index.json"]),
    ],
)
def test_what_is_no_cascade_is_one_sentence(made, tmp_path, names, side, parts):
    shutil.copytree(made["three"], tmp_path / "no_words")
    shutil.rmtree(tmp_path / "no_words" / "tokenizer")
    (tmp_path / "empty").mkdir()
    places = {**made, "nowhere": "/nowhere/at-all", "empty": tmp_path / "empty"}
    places["no_words"] = tmp_path / "no_words"
    settings = {"steps": 1, "guidance": 1.0}
    with pytest.raises(ModelError) as caught:
        load_pipeline(model(places, *((name, settings) for name in names), side=side), "cpu")
    for part in [*parts, "models.mini"]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_precision_of_no_autoencoder_is_refused(made):
    spec = model(made, ("one", ONE), ("two", TWO), side=16, vae_precision="bfloat16")
    with pytest.raises(ModelError, match="vae_precision is given, but no stage has an autoenc"):
        load_pipeline(spec, "cpu")


def test_what_the_library_refuses_is_one_sentence(made):
    stages = (("one", ONE), ("three", {**THREE, "noise_level": 351}))
    loaded = load_pipeline(model(made, *stages, side=32), "cpu")
    with pytest.raises(
        ModelError, match="models.mini: the stages cannot .*`noise_level`"
    ) as caught:
        loaded.render(REQUESTS)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({**ONE, "noise_level": 3}, ["the first stage has noise_level = 3", "no image before it"]),
        ({"steps": 4}, ['"stages.0.guidance" is missing']),
        ({**ONE, "guidanc": 4}, ['unknown key "stages.0.guidanc"', 'did you mean "guidance"?']),
    ],
)
def test_a_wrong_stage_is_one_sentence(made, settings, parts):
    with pytest.raises(StudyError) as caught:
        model(made, ("one", settings))
    for part in [*parts, "models.mini"]:
        assert part in str(caught.value)


def test_a_study_with_a_cascade(made, tmp_path, monkeypatch):
    """Its repositories are folders in the study folder, wherever the command runs."""
    size = {"width": 64, "height": 64}
    table = {"catalogue": "sd-turbo", "repository": str(made["sd"]), "variant": "", **size}
    folder = study_file(tmp_path / "study", {"if": size, "sd": table})
    with (folder.root / "study.toml").open("a") as file:
        for name, settings in (("one", ONE), ("passing_two", TWO), ("three", THREE)):
            shutil.copytree(made[name], folder.root / "checkpoints" / name)
            lines = [f'repository = "checkpoints/{name}"']
            lines += [f"{key} = {value}" for key, value in settings.items()]
            file.write("\n".join(["[[models.if.stages]]", *lines]) + "\n")
    monkeypatch.chdir(tmp_path)
    images = generate(folder)
    own = images[images["model"] == "if"]
    assert (own["status"] == "ok").all()
    assert len(own) == 6
    assert own["sha256"].is_unique
    for name in own["file_name"]:
        with Image.open(folder.images / name) as image:
            assert (image.mode, image.size, image.info) == ("RGB", (64, 64), {})
    manifest = json.loads(folder.manifest_file.read_text())["models"]["if"]
    stages = [stage["repository"] for stage in manifest["settings"]["stages"]]
    assert stages == ["checkpoints/one", "checkpoints/passing_two", "checkpoints/three"]
    assert str(tmp_path) not in json.dumps(manifest)
