"""Library pipelines with miniature weights: the same pixels as the library, or one sentence."""

import weakref
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from evalkit.errors import ModelError
from evalkit.models import CATALOGUE, resolve
from evalkit.models.catalogue import checkpoint_path
from evalkit.pipelines import (
    OutOfMemoryError,
    acceleration,
    devices,
    diffusion,
    load_pipeline,
    noise_seed,
)
from tests import family_miniatures, miniatures

PROMPTS = ["a red cat", "two green dogs", "a red cat", "a house"]
SEEDS = [0, 0, 1, 5]
REQUESTS = miniatures.requests(PROMPTS, SEEDS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The miniature checkpoints by name."""
    root = tmp_path_factory.mktemp("checkpoints")
    miniatures.scenes_unet(root / "scenes_lcm", guided=True)
    miniatures.scenes_unet(root / "scenes_turbo")
    kinds = ("sdxl", "lcm_sdxl_unet", "lora_sdxl", "scenes_base", "sd_turbo", "filtered_sd")
    for name in kinds:
        getattr(miniatures, name)(root / name)
    return {path.name: path for path in root.iterdir()}


def model(catalogue, folder, **changes):
    return resolve("mini", miniatures.small(catalogue, folder, **changes), "models.mini")


def pixels(results):
    assert [result.status for result in results] == ["ok"] * len(results)
    return np.stack([np.asarray(result.image) for result in results]).astype(int)


def by_hand(pipeline, **call):
    """Images of a library pipeline called as its documentation says, one prompt at a time."""
    images = []
    for prompt, seed in zip(PROMPTS, SEEDS, strict=True):
        generator = torch.Generator().manual_seed(noise_seed(prompt, seed))
        images += pipeline(prompt, width=32, height=32, generator=generator, **call).images
    return np.stack([np.asarray(image) for image in images]).astype(int)


def load_by_hand(folder, **parts):
    pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
        folder, dtype=torch.float32, **parts
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_noise_seed_is_the_documented_hash():
    # printf '["a red cat", 0]' | sha256sum, first 16 digits; the second with caf\u00e9 and 7.
    assert noise_seed("a red cat", 0) == 0xFFD4400C20C20F1E
    assert noise_seed("café", 7) == 0x0D38EF46964DA470


def test_of_a_noise_seed_the_lower_32_bits_count():
    """As the documentation of noise_seed says: for how many images of a model share their noise."""
    drawn = [
        torch.randn(64, generator=torch.Generator("cpu").manual_seed(seed))
        for seed in (5, 5 + 2**32, 5 + 2**31)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_float32_on_a_gpu_is_not_tensorfloat(made):
    """PyTorch convolves in it unless told otherwise; the flag can be set without a GPU."""
    library = load_pipeline(model("sd-turbo", made["sd_turbo"]), "cpu").library
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    try:
        torch.backends.cudnn.allow_tf32 = True
        acceleration.accelerate(library, torch.device("cuda"), False, "models.mini")
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before


def test_sdxl_is_what_the_library_makes(made):
    found = load_pipeline(model("sdxl", made["sdxl"], steps=5), "cpu").render(REQUESTS)
    pipeline = load_by_hand(made["sdxl"], variant="fp16")
    expected = by_hand(pipeline, num_inference_steps=5, guidance_scale=5.0)
    assert np.abs(pixels(found) - expected).max() <= 1


def test_a_swapped_unet_is_what_the_library_makes(made):
    spec = model("lcm-sdxl", made["sdxl"], unet_repository=made["lcm_sdxl_unet"])
    loaded = load_pipeline(spec, "cpu")
    unet = diffusers.UNet2DConditionModel.from_pretrained(
        made["lcm_sdxl_unet"], variant="fp16", dtype=torch.float32
    )
    pipeline = load_by_hand(made["sdxl"], variant="fp16", unet=unet)
    pipeline.scheduler = diffusers.LCMScheduler.from_config(pipeline.scheduler.config)
    expected = by_hand(pipeline, num_inference_steps=4, guidance_scale=8.0)
    assert np.abs(pixels(loaded.render(REQUESTS)) - expected).max() <= 1
    other = load_pipeline(spec.model_copy(update={"guidance": 2.0}), "cpu")
    assert (pixels(other.render(REQUESTS)) != expected).mean() > 0.1  # guidance is embedded


def test_a_lora_is_what_the_library_makes(made):
    spec = model("lcm-lora-sdxl", made["sdxl"], lora_repository=made["lora_sdxl"])
    pipeline = load_by_hand(made["sdxl"], variant="fp16")
    pipeline.scheduler = diffusers.LCMScheduler.from_config(pipeline.scheduler.config)
    without = by_hand(pipeline, num_inference_steps=4, guidance_scale=1.0)
    pipeline.load_lora_weights(made["lora_sdxl"])
    expected = by_hand(pipeline, num_inference_steps=4, guidance_scale=1.0)
    found = pixels(load_pipeline(spec, "cpu").render(REQUESTS))
    assert np.abs(found - expected).max() <= 1
    assert (found != without).mean() > 0.5


def test_a_tiny_autoencoder_is_what_the_library_makes(made):
    spec = model("scenes-base", made["scenes_base"], steps=5)
    expected = by_hand(load_by_hand(made["scenes_base"]), num_inference_steps=5, guidance_scale=4.0)
    found = pixels(load_pipeline(spec, "cpu").render(REQUESTS))
    assert np.abs(found - expected).max() <= 1


def test_an_image_does_not_depend_on_its_batch(made):
    """Bytes may differ in the last bit where a kernel sums in another order; noise may not."""
    for spec in (
        model("scenes-base", made["scenes_base"], steps=3),
        model("sdxl-turbo", made["sdxl"], steps=4),  # ancestral: draws noise at every step
    ):
        loaded = load_pipeline(spec, "cpu")
        together = pixels(loaded.render(REQUESTS))
        alone = [pixels(loaded.render([r])) for r in REQUESTS]
        backwards = pixels(loaded.render(REQUESTS[::-1]))[::-1]
        assert np.abs(together - np.concatenate(alone)).max() <= 1
        assert np.abs(together - backwards).max() <= 1
        for one in range(4):
            for two in range(one):
                assert np.abs(together[one] - together[two]).max() > 1


def test_no_prompts_no_images(made):
    assert load_pipeline(model("sd-turbo", made["sd_turbo"]), "cpu").render([]) == []


def test_float16_weights_are_float32_on_a_cpu_and_the_record_says_so(made):
    spec = model("sdxl-turbo", made["sdxl"])
    assert (spec.precision, spec.vae_precision) == ("float16", "bfloat16")
    loaded = load_pipeline(spec, "cpu")
    assert loaded.made_with["precision"] == loaded.made_with["vae_precision"] == "float32"
    explicit = model("sdxl-turbo", made["sdxl"], precision="float32", vae_precision="")
    expected = pixels(load_pipeline(explicit, "cpu").render(REQUESTS))
    assert (pixels(loaded.render(REQUESTS)) == expected).all()
    cuda = torch.device("cuda")
    assert devices.resolve_precision("float16", cuda) == "float16"
    assert devices.resolve_precision("bfloat16", cuda) == "bfloat16"


def test_the_vae_keeps_its_own_precision(made, monkeypatch):
    """With float16 as on a GPU, where the stock pipeline casts the VAE to float32 and back."""
    exact = pixels(load_pipeline(model("sdxl-turbo", made["sdxl"]), "cpu").render(REQUESTS))
    monkeypatch.setattr(diffusion, "resolve_precision", lambda precision, device: precision)
    used = []
    inner = diffusers.AutoencoderKL.decode
    monkeypatch.setattr(
        diffusers.AutoencoderKL,
        "decode",
        lambda self, z, *args, **kwargs: used.append(z.dtype) or inner(self, z, *args, **kwargs),
    )
    stock = load_pipeline(model("sdxl-turbo", made["sdxl"], vae_precision=""), "cpu")
    assert stock.made_with["vae_precision"] == "library's for float16"
    assert np.abs(pixels(stock.render(REQUESTS)) - exact).mean() < 2
    assert used.pop() == torch.float32
    loaded = load_pipeline(model("sdxl-turbo", made["sdxl"]), "cpu")
    assert loaded.made_with["vae_precision"] == "bfloat16"
    for _ in range(2):
        assert np.abs(pixels(loaded.render(REQUESTS)) - exact).mean() < 2
        assert used.pop() == torch.bfloat16
    forced = load_pipeline(model("sdxl-turbo", made["sdxl"], vae_precision="float16"), "cpu")
    forced.render(REQUESTS)
    assert used.pop() == torch.float16


def test_a_scheduler_keeps_the_noise_schedule_of_the_checkpoint(made):
    spec = model("scenes-lcm", made["scenes_base"], unet_repository=made["scenes_lcm"])
    config = load_pipeline(spec, "cpu").made_with["scheduler_config"]
    base = diffusers.DDIMScheduler.from_pretrained(made["scenes_base"], subfolder="scheduler")
    for key in ("prediction_type", "beta_start", "beta_end", "beta_schedule"):
        assert config[key] == base.config[key]
    assert config["prediction_type"] == "v_prediction"
    assert config["beta_end"] == 0.02  # LCMScheduler's own is .012
    assert config["original_inference_steps"] == 25  # its own is 50


def test_settings_without_a_scheduler_are_those_of_the_checkpoint_s_own(made):
    own = load_pipeline(model("sdxl", made["sdxl"]), "cpu").made_with
    spec = model("sdxl", made["sdxl"], scheduler_settings={"timestep_spacing": "trailing"})
    loaded = load_pipeline(spec, "cpu").made_with
    assert loaded["scheduler"] == own["scheduler"] == "EulerDiscreteScheduler"
    assert own["scheduler_config"]["timestep_spacing"] == "leading"
    assert loaded["scheduler_config"] == {**own["scheduler_config"], "timestep_spacing": "trailing"}
    spec = model("sdxl", made["sdxl"], scheduler_settings={"timestep_spacings": "trailing"})
    with pytest.raises(ModelError, match='"timestep_spacings"; EulerDiscreteScheduler has'):
        load_pipeline(spec, "cpu")


BUILT_IN = [name for name in CATALOGUE if name.startswith("scenes-")]


@pytest.mark.skipif(
    not all(Path(checkpoint_path(f"built-in:{name}")).is_dir() for name in BUILT_IN),
    reason="the built-in weights are not trained yet",
)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_builtin_model_samples_as_it_was_trained_to(name):
    """The scheduler of the catalogue takes the steps of the one saved beside the weights."""
    loaded = load_pipeline(resolve(name, {}, name), "cpu")
    kind = getattr(diffusers, loaded.made_with["scheduler"])
    found = kind.from_config(loaded.made_with["scheduler_config"])
    saved = kind.from_pretrained(checkpoint_path(f"built-in:{name}"), subfolder="scheduler")
    for steps in (1, 2, 4):
        found.set_timesteps(steps)
        saved.set_timesteps(steps)
        assert found.timesteps.tolist() == saved.timesteps.tolist()
    assert torch.equal(found.alphas_cumprod, saved.alphas_cumprod)
    assert found.config.prediction_type == saved.config.prediction_type
    [result] = loaded.render(miniatures.requests(["a large red circle on a green lawn"], [0]))
    assert result.image.size == (96, 96)


def test_a_negative_prompt_counts_in_every_image_of_the_batch(made):
    plain = load_pipeline(model("sd-turbo", made["sd_turbo"], guidance=5.0), "cpu")
    spec = model("sd-turbo", made["sd_turbo"], guidance=5.0, negative_prompt="blur and noise")
    negative = pixels(load_pipeline(spec, "cpu").render(REQUESTS))
    assert (np.abs(pixels(plain.render(REQUESTS)) - negative).max(axis=(1, 2, 3)) > 1).all()


def test_images_that_cannot_be_shown_have_a_status_and_a_reason(made, tmp_path):
    filtered = load_pipeline(model("scenes-base", made["filtered_sd"], steps=1), "cpu")
    assert [(r.status, r.image) for r in filtered.render(REQUESTS)] == [("filtered", None)] * 4
    for bias, reason in ((float("nan"), "not finite"), (-1e4, "black")):
        folder = miniatures.spoil(miniatures.sd_turbo(tmp_path / reason), bias)
        results = load_pipeline(model("sd-turbo", folder), "cpu").render(REQUESTS)
        assert [(r.status, r.image) for r in results] == [("failed", None)] * 4
        assert all(reason in r.reason for r in results)


def out_of_memory(kind):
    """A part's call that fails so, and what is left of the large tensor that it had made."""
    left = []

    def forward(*args, **kwargs):
        large = torch.zeros(1000)
        left.append(weakref.ref(large))
        if kind:
            raise kind("CUDA out of memory. Tried to allocate 2 GiB")
        torch.empty(2**60)  # no machine has it: the CPU allocator's own error

    return forward, left


@pytest.mark.parametrize("kind", [None, torch.OutOfMemoryError, MemoryError])
def test_what_does_not_fit_is_told_from_other_errors_and_holds_no_memory(made, kind):
    loaded = load_pipeline(model("sd-turbo", made["sd_turbo"]), "cpu")
    loaded.library.unet.forward, left = out_of_memory(kind)
    with pytest.raises(OutOfMemoryError, match="out of memory with 4 images of 32x32") as caught:
        loaded.render(REQUESTS)
    assert str(caught.value).startswith("models.mini: ")
    [large] = left
    assert large() is None  # so that a smaller batch finds the room
    loaded.library.unet.forward = lambda *args, **kwargs: 1 / 0
    with pytest.raises(ModelError, match="ZeroDivisionError") as caught:
        loaded.render(REQUESTS)
    assert not isinstance(caught.value, OutOfMemoryError)


def test_what_a_pipeline_itself_swallows_is_out_of_memory(tmp_path):
    """Sana's pipelines warn that decoding did not fit, and then have no image."""
    folder = family_miniatures.sana_sprint(tmp_path / "sana")
    table = {"repository": str(folder), "steps": 1, "guidance": 4.5, "width": 32, "height": 32}
    table["call_settings"] = {"use_resolution_binning": False}
    loaded = load_pipeline(resolve("mini", table, "models.mini"), "cpu")
    loaded.library.vae.decode, _ = out_of_memory(torch.OutOfMemoryError)
    with pytest.raises(OutOfMemoryError):
        loaded.render(REQUESTS)


def test_a_name_that_is_missing_elsewhere_is_no_memory(made):
    """Only Sana's pipelines lose their image so; anywhere else it is a mistake in the code."""
    loaded = load_pipeline(model("sd-turbo", made["sd_turbo"]), "cpu")

    def decode(*args, **kwargs):
        if not args:
            image = None
        return image

    loaded.library.vae.decode = decode
    with pytest.raises(ModelError, match="UnboundLocalError.*'image'") as caught:
        loaded.render(REQUESTS)
    assert not isinstance(caught.value, OutOfMemoryError)


def test_a_closed_pipeline_holds_no_weights_and_its_errors_neither(made):
    loaded = load_pipeline(model("sd-turbo", made["sd_turbo"]), "cpu")
    loaded.render(REQUESTS[:1])
    unet = weakref.ref(loaded.library.unet)
    loaded.library.vae.decode = lambda *args: 1 / 0
    with pytest.raises(ModelError) as caught:  # kept here, as by a run that goes on without it
        loaded.render(REQUESTS[:1])
    assert caught.value
    loaded.close()
    assert unet() is None


def test_a_tiny_autoencoder_in_place_of_the_checkpoint_s(made, tmp_path):
    miniatures._tiny_vae().save_pretrained(tmp_path / "tiny")
    spec = model("sdxl", made["sdxl"], steps=2, vae_repository=tmp_path / "tiny")
    loaded = load_pipeline(spec, "cpu")
    vae = diffusers.AutoencoderTiny.from_pretrained(tmp_path / "tiny")
    pipeline = load_by_hand(made["sdxl"], variant="fp16", vae=vae)
    expected = by_hand(pipeline, num_inference_steps=2, guidance_scale=5.0)
    assert np.abs(pixels(loaded.render(REQUESTS)) - expected).max() <= 1
    assert loaded.made_with["vae_commit"] is None


def test_a_lora_in_the_names_of_its_authors_is_the_same(made, tmp_path):
    """LCM-LoRA and Hyper-SD are published with the names of another trainer and with alphas."""
    file = "pytorch_lora_weights.safetensors"
    theirs = {}
    for name, tensor in load_file(made["lora_sdxl"] / file).items():
        layer, _, side = name.removeprefix("unet.").removesuffix(".weight").rpartition(".")
        layer = "lora_unet_" + layer.replace(".", "_")
        side = {"lora_A": "lora_down", "lora_B": "lora_up"}[side]
        theirs[f"{layer}.{side}.weight"] = tensor
        theirs[f"{layer}.alpha"] = torch.tensor(4.0)  # as the rank: a scale of 1
    (tmp_path / "lora").mkdir()
    save_file(theirs, tmp_path / "lora" / file)
    spec = model("lcm-lora-sdxl", made["sdxl"], lora_repository=made["lora_sdxl"])
    same = spec.model_copy(update={"lora_repository": str(tmp_path / "lora")})
    found, expected = (pixels(load_pipeline(s, "cpu").render(REQUESTS)) for s in (same, spec))
    assert np.abs(found - expected).max() <= 1


def test_image_to_image_keeps_the_precision_of_the_autoencoder(made, monkeypatch, tmp_path):
    """With float16 as on a GPU: the input image is encoded in bfloat16, and nothing is refused."""
    monkeypatch.setattr(diffusion, "resolve_precision", lambda precision, device: precision)
    Image.new("RGB", (32, 32), (200, 30, 30)).save(tmp_path / "red.png")
    requests = [replace(request, input_image=tmp_path / "red.png") for request in REQUESTS]
    images = {}
    for precision in ("float32", "float16"):
        table = {"precision": precision, "vae_precision": "bfloat16", "strength": 0.5, "steps": 2}
        loaded = load_pipeline(model("sdxl-turbo", made["sdxl"], **table), "cpu")
        images[precision] = pixels(loaded.render(requests))
    assert np.abs(images["float32"] - images["float16"]).mean() < 2


def test_an_input_image_that_is_missing_or_broken_is_one_sentence(made, tmp_path):
    loaded = load_pipeline(model("sdxl", made["sdxl"], strength=0.5, steps=2), "cpu")
    (tmp_path / "text.png").write_text("no image")
    for file, said in [
        (None, "the prompt p0 has no input image"),
        (tmp_path / "none.png", "none.png of the prompt p0: cannot be decoded (FileNotFoundError"),
        (tmp_path / "text.png", "text.png of the prompt p0: cannot be decoded (UnidentifiedImage"),
    ]:
        with pytest.raises(ModelError) as caught:
            loaded.render([replace(REQUESTS[0], input_image=file)])
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "value", "says"),
    [("I;16", 999, "has 16 bits per colour"), ("RGBA", (200, 30, 30, 0), "has transparent pixels")],
)
def test_an_input_image_is_looked_at_as_imported_ones_are(made, tmp_path, mode, value, says):
    Image.new(mode, (32, 32), value).save(tmp_path / "a.png")
    request = replace(REQUESTS[0], input_image=tmp_path / "a.png")
    loaded = load_pipeline(model("sdxl", made["sdxl"], strength=0.5, steps=2), "cpu")
    echo = f"echo_{mode[0]}"
    table = {"callable": f"{echo}:make", "input_images": True, "width": 32, "height": 32}
    (tmp_path / f"{echo}.py").write_text(
        "def make(prompts, seeds, input_images): return input_images"
    )
    function = load_pipeline(resolve("echo", table, "models.echo").located(tmp_path))
    for pipeline in (loaded, function):
        with pytest.raises(ModelError, match=rf"a\.png of the prompt p0: {says}"):
            pipeline.render([request])


def test_an_image_of_another_size_than_asked_for_is_refused(tmp_path):
    """FLUX makes a smaller one, on which its library only remarks."""
    folder = family_miniatures.flux(tmp_path / "flux", blocks=4)  # whole multiples of 16 px
    table = {"repository": str(folder), "steps": 1, "guidance": 0.0, "width": 40, "height": 32}
    loaded = load_pipeline(resolve("mini", table, "models.mini"), "cpu")
    with pytest.raises(ModelError, match="asked for 40x32 px the checkpoint makes 32x32 px"):
        loaded.render(REQUESTS[:1])
