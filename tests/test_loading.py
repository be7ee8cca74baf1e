"""Loading a checkpoint: what cannot be loaded is one sentence, said before it takes long."""

import os
import pickle
import shutil
import weakref

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from evalkit.errors import ModelError
from evalkit.models import resolve
from evalkit.pipelines import load_pipeline
from evalkit.pipelines.tokens import load_text_window
from tests import family_miniatures, miniatures


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The miniature checkpoints by name."""
    root = tmp_path_factory.mktemp("checkpoints")
    for name in ("sdxl", "lcm_sdxl_unet", "lora_sdxl"):
        getattr(miniatures, name)(root / name)
    miniatures.scenes_unet(root / "scenes_turbo")
    for name in ("lora_sd15", "flux", "amused", "sana_sprint"):
        getattr(family_miniatures, name)(root / name)
    family_miniatures.renamed(root / "sdxl", root / "unknown_class", "NewPipeline")
    family_miniatures.renamed(
        root / "sdxl", root / "image_class", "StableDiffusionXLImg2ImgPipeline"
    )
    miniatures.sd_turbo(root / "sd_turbo")
    family_miniatures.renamed(
        root / "sd_turbo", root / "sd_turbo_image", "StableDiffusionImg2ImgPipeline"
    )
    _spoiled_weights(root / "unets")
    _spoiled_loras(root)
    return {path.name: path for path in root.iterdir()}


class _Code:
    """What a pickle runs when it is read: here it would end the test run."""

    def __reduce__(self):
        return os._exit, (3,)


def _spoiled_weights(folder):
    folder.mkdir()
    torch.save(miniatures._unet().state_dict(), folder / "sd.bin")
    (folder / "code.bin").write_bytes(pickle.dumps({"weight": _Code()}))
    torch.save({"weight": _Code()}, folder / "code.pt")
    (folder / "half.safetensors").write_bytes(b"half a file")
    (folder / "weights.ckpt").write_bytes(b"")


def _spoiled_loras(root):
    file = "pytorch_lora_weights.safetensors"
    own = load_file(root / "lora_sdxl" / file)
    elsewhere = {
        f"unet.down_blocks.7.attn.to_q.lora_{side}.weight": torch.zeros(4, 4) for side in "AB"
    }
    for name, tensors in (("lora_part", {**own, **elsewhere}), ("lora_else", elsewhere)):
        (root / name).mkdir()
        save_file(tensors, root / name / file)


def model(catalogue, folder, **changes):
    return resolve("mini", miniatures.small(catalogue, folder, **changes), "models.mini")


def refusal(spec):
    with pytest.raises(ModelError) as caught:
        load_pipeline(spec, "cpu")
    said = str(caught.value)
    assert said.startswith("models.mini: ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"repository": "/nowhere/at-all"}, ['no folder "/nowhere/at-all"']),
        ({"repository": "built-in:nothing"}, ["built-in:nothing", "no folder"]),
        ({"repository": "LCM"}, ["model_index.json"]),
        ({"variant": "fp8"}, ["variant=fp8"]),
        ({"repository": "NO_WEIGHTS"}, ["cannot be loaded", "diffusion_pytorch_model"]),
        ({"repository": "BAD_WEIGHTS"}, ["cannot be loaded", "diffusion_pytorch_model"]),
        ({"unet_repository": "/nowhere"}, ['no folder "/nowhere"']),
        ({"unet_repository": "LCM", "unet_subfolder": "unet"}, ["cannot be loaded"]),
        ({"lora_repository": "/nowhere"}, ['no folder "/nowhere"']),
        ({"lora_repository": "LCM"}, ["cannot be loaded", "pytorch_lora_weights.safetensors"]),
        ({"scheduler": "EulerScheduler"}, ["unknown scheduler", "did you mean"]),
        ({"scheduler": "UNet2DConditionModel"}, ["unknown scheduler"]),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(made, tmp_path, changes, parts):
    for name in ("NO_WEIGHTS", "BAD_WEIGHTS"):
        shutil.copytree(made["sdxl"], tmp_path / name)
        weights = tmp_path / name / "unet" / "diffusion_pytorch_model.fp16.safetensors"
        weights.unlink()
        if name == "BAD_WEIGHTS":
            weights.write_bytes(b"half a file")
    places = {"LCM": made["lcm_sdxl_unet"], "NO_WEIGHTS": tmp_path / "NO_WEIGHTS"}
    places["BAD_WEIGHTS"] = tmp_path / "BAD_WEIGHTS"
    changes = {key: str(places.get(value, value)) for key, value in changes.items()}
    spec = model("sdxl", made["sdxl"]).model_copy(update=changes)
    with pytest.raises(ModelError) as caught:
        load_pipeline(spec, "cpu")
    for part in [*parts, "models.mini"]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_scheduler_setting_is_refused(made):
    spec = model("sdxl", made["sdxl"], scheduler="EulerDiscreteScheduler")
    spec = spec.model_copy(update={"scheduler_settings": {"timestep_spacings": "trailing"}})
    with pytest.raises(ModelError, match=r'"timestep_spacings".*did you mean "timestep_spacing"\?'):
        load_pipeline(spec, "cpu")


def test_a_checkpoint_that_does_not_fit_its_settings_is_one_sentence(made):
    unet = made["scenes_turbo"] / "unet"
    spec = model("sdxl", made["sdxl"], unet_repository=unet)  # a UNet of SD in SDXL
    with pytest.raises(
        ModelError, match="models.mini: the checkpoint cannot make images"
    ) as caught:
        load_pipeline(spec, "cpu").render(miniatures.requests(["a cat"], [0]))
    assert caught.value.__cause__ is not None  # the library's own error is not lost


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"pipeline_class": "StableDiffusionXLPipline"},
            ['did you mean "StableDiffusionXLPipeline"'],
        ),
        ({"pipeline_class": "DiffusionPipeline"}, ['unknown pipeline_class "DiffusionPipeline"']),
        ({"pipeline_class": "FluxPipeline"}, ["is a StableDiffusionXLPipeline", "not a FluxPip"]),
        (
            {"repository": "flux", "pipeline_class": "StableDiffusionXLPipeline"},
            ["is a FluxPipeline", "not a StableDiffusionXLPipeline; name its own with pip", '= ""'],
        ),
        (
            {"pipeline_class": "StableDiffusionPipeline"},
            ["text_encoder_2", "not a StableDiffusionP"],
        ),
        ({"pipeline_class": "StableDiffusionXLImg2ImgPipeline"}, ["from images; give a strength"]),
        ({"repository": "unknown_class"}, ["is NewPipeline, which this version of diffusers"]),
        ({"call_settings": {"ete": 1.0}}, ['unknown key "ete"', 'did you mean "eta"?']),
        ({"call_settings": {"width": 32}}, ["width has a setting of its own; give width"]),
        ({"call_settings": {"guidance_scale": 1.0}}, ["a setting of its own; give guidance"]),
        ({"call_settings": {"generator": 1}}, ["generator is given by evalkit itself"]),
        ({"call_settings": {"prompt_2": "x"}}, ["prompt_2 is given by evalkit itself"]),
        ({"call_settings": {"output_type": "np"}}, ["output_type is given by evalkit itself"]),
        ({"call_settings": {"kwargs": 1}}, ['unknown key "kwargs"']),
        (
            {"scheduler": "DDIMScheduler", "timesteps": (9, 1)},
            ["timesteps", "DDIMScheduler takes none"],
        ),
        ({"scheduler": "TurboScheduler", "steps": 5}, ["steps = 5", "allowed are 1 to 4"]),
        ({"scheduler": "TurboSheduler"}, ['did you mean "TurboScheduler"?']),
        ({"repository": "flux", "timesteps": (9, 1)}, ["timesteps", "takes none"]),
        (
            {"repository": "sana_sprint", "strength": 0.5},
            ["strength", "SanaSprintPipeline takes none"],
        ),
        ({"repository": "sana_sprint", "negative_prompt": "x"}, ["negative_prompt", "takes none"]),
        ({"repository": "flux", "unet_repository": "unets"}, ["FluxPipeline has no unet"]),
        ({"repository": "amused", "vae_repository": "sdxl"}, ["AmusedPipeline has no vae"]),
        ({"repository": "amused", "lora_repository": "lora_sdxl"}, ["takes no LoRA"]),
        ({"vae_repository": "sdxl"}, ["cannot be loaded", "config.json"]),
        ({"vae_repository": "unet_as_vae"}, ["is a UNet2DConditionModel, not an autoencoder"]),
        ({"unet_repository": "unets", "unet_file": "no.bin"}, ['has no file "no.bin"']),
        (
            {"unet_repository": "unets", "unet_file": "weights.ckpt"},
            ["allowed are .safetensors, .bin"],
        ),
        (
            {"unet_repository": "unets", "unet_file": "sd.bin"},
            ["does not fit the UNet", "20 differ"],
        ),
        (
            {"unet_repository": "unets", "unet_file": "code.bin"},
            ["more than tensors", "is not run"],
        ),
        ({"unet_repository": "unets", "unet_file": "code.pt"}, ["more than tensors", "is not run"]),
        ({"unet_repository": "unets", "unet_file": "half.safetensors"}, ["cannot be loaded"]),
        ({"lora_repository": "lora_sd15"}, ["does not fit", "lora_file"]),
        ({"lora_repository": "lora_part"}, ["does not fit"]),
        ({"lora_repository": "lora_else"}, ["does not fit"]),
        ({"repository": "flux", "lora_repository": "lora_sdxl"}, ["does not fit"]),
    ],
)
def test_a_setting_that_the_checkpoint_cannot_have_is_one_sentence(made, changes, parts):
    if changes.get("vae_repository") == "unet_as_vae":
        miniatures._unet().save_pretrained(made["sdxl"].parent / "unet_as_vae")
    root = made["sdxl"].parent
    changes = {k: str(root / v) if k.endswith("repository") else v for k, v in changes.items()}
    if "repository" in changes:  # another checkpoint than the catalogue entry's, of its own class
        has_variant = changes["repository"].endswith("class")
        changes = {"pipeline_class": None, **({} if has_variant else {"variant": None}), **changes}
    said = refusal(model("sdxl", made["sdxl"], steps=2).model_copy(update=changes))
    assert all(part in said for part in parts), said


def test_a_checkpoint_that_names_its_image_to_image_class_makes_images_from_text(made):
    loaded = load_pipeline(model("sdxl", made["image_class"], steps=1), "cpu")
    assert loaded.made_with["pipeline"] == "StableDiffusionXLPipeline"


@pytest.mark.parametrize("checkpoint", ["sd_turbo", "sd_turbo_image"])
def test_a_strength_takes_the_sibling_of_the_named_class_and_none_takes_it_back(made, checkpoint):
    """The catalogue names the text-to-image class; the checkpoint may name either."""
    kinds = {0.5: "StableDiffusionImg2ImgPipeline", "": "StableDiffusionPipeline"}
    for catalogue in ("sd-turbo", "sd-turbo-img2img"):
        for strength, kind in kinds.items():
            spec = model(catalogue, made[checkpoint], steps=2, strength=strength)
            assert spec.pipeline_class == "StableDiffusionPipeline"
            assert load_pipeline(spec, "cpu").made_with["pipeline"] == kind


def test_a_checkpoint_without_its_tokenizer_is_one_sentence(made, tmp_path):
    """The library makes an empty one, of whose length its call then fails."""
    for checkpoint, gone in (
        ("sdxl", "tokenizer_2"),
        ("flux", "tokenizer_2"),
        ("amused", "tokenizer"),
    ):
        folder = shutil.copytree(made[checkpoint], tmp_path / checkpoint)
        shutil.rmtree(folder / gone)
        table = {"repository": str(folder), "steps": 1, "guidance": 0.0, "width": 32, "height": 32}
        table["variant"] = "fp16" if checkpoint == "sdxl" else ""
        spec = resolve("mini", table, "models.mini")
        assert f'"{folder}" has no {gone}' in refusal(spec)
        with pytest.raises(ModelError, match=f"has no {gone}"):
            load_text_window(spec)


def test_a_class_may_be_named_for_a_checkpoint_whose_own_is_unknown(made):
    spec = model("sdxl", made["unknown_class"], steps=1, pipeline_class="StableDiffusionXLPipeline")
    assert load_pipeline(spec, "cpu").made_with["pipeline"] == "StableDiffusionXLPipeline"


def too_large(*args, **kwargs):
    torch.empty(2**60)  # no machine has it: the CPU allocator's own error


@pytest.mark.parametrize(("call", "memory"), [("from_pretrained", "this machine"), ("to", "cpu")])
def test_what_does_not_fit_while_loading_names_the_memory(made, monkeypatch, call, memory):
    monkeypatch.setattr(diffusers.StableDiffusionXLPipeline, call, too_large)
    said = refusal(model("sdxl", made["sdxl"]))
    assert f"does not fit into the memory of {memory}; use a device with more, or 16-bit" in said


def test_what_was_loaded_until_it_did_not_fit_is_let_go(made, monkeypatch):
    left = []

    def to(self, device):
        left.append(weakref.ref(self.unet))
        too_large()

    monkeypatch.setattr(diffusers.StableDiffusionXLPipeline, "to", to)
    with pytest.raises(ModelError) as caught:  # kept here, as by a run that goes on without it
        load_pipeline(model("sdxl", made["sdxl"]), "cpu")
    assert caught.value
    assert left[0]() is None


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "tpu", "meta", ""])
def test_a_device_that_is_not_there_is_one_sentence(made, device):
    with pytest.raises(ModelError, match=r'^device: "'):
        load_pipeline(model("sdxl", made["sdxl"]), device)
