"""Library pipelines with miniature weights: the same pixels as the library, or one sentence."""

import json
import os
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import diffusers
import numpy as np
import pytest
import torch

from evalkit.errors import ModelError
from evalkit.models import CATALOGUE, resolve
from evalkit.models.catalogue import checkpoint_path
from evalkit.pipelines import devices, diffusion, load_pipeline, noise_seed
from tests import miniatures

ROOT = Path(__file__).parents[1]
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


BUILT_IN = [name for name in CATALOGUE if CATALOGUE[name]["repository"].startswith("built-in:")]


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
    unet = miniatures.scenes_unet(made["scenes_lcm"].parent / "sd_unet") / "unet"
    spec = model("sdxl", made["sdxl"], unet_repository=unet)  # a UNet of SD in SDXL
    with pytest.raises(
        ModelError, match="models.mini: the checkpoint cannot make images"
    ) as caught:
        load_pipeline(spec, "cpu").render(miniatures.requests(["a cat"], [0]))
    assert caught.value.__cause__ is not None  # the library's own error is not lost


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "tpu", "meta", ""])
def test_a_device_that_is_not_there_is_one_sentence(made, device):
    with pytest.raises(ModelError, match=r'^device: "'):
        load_pipeline(model("sdxl", made["sdxl"]), device)


@pytest.mark.parametrize("package", ["torch", "diffusers"])
def test_a_missing_package_names_the_extra(package):
    code = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from evalkit.models import resolve\n"
        "from evalkit.pipelines import load_pipeline\n"
        "load_pipeline(resolve('sdxl', {}, ''), 'cpu')"
    )
    done = run(code)
    assert done.stderr.strip().endswith(
        f"evalkit.errors.ModelError: models.sdxl: the package {package} is not installed; images "
        'are made with it; run pip install "evalkit[generate]"'
    )


_LOAD = """
import json, sys
from evalkit.errors import ModelError
from evalkit.models import resolve
from evalkit.pipelines import Request, load_pipeline
for name, table in json.loads(sys.argv[1]).items():
    try:
        loaded = load_pipeline(resolve(name, table, name), "cpu")
        commits = [value for key, value in loaded.made_with.items() if "commit" in key]
        print(name, *commits, loaded.render([Request("p", "a cat", 0)])[0].status)
    except ModelError as error:
        print(error)
"""


def run(code, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        timeout=120,
    )


def test_a_cached_hub_repository_loads_offline_and_silently(made, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    for name, folder, snapshot in [
        ("mini", "scenes_base", commit),
        ("unet", "scenes_turbo", commit[::-1]),
        ("sdxl", "sdxl", commit),
        ("lora", "lora_sdxl", commit[::-1]),
    ]:
        repository = tmp_path / f"models--org--{name}"
        shutil.copytree(made[folder], repository / "snapshots" / snapshot)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(snapshot)
    table = {"catalogue": "scenes-base", "revision": "", "width": 32, "height": 32, "steps": 2}
    sdxl = {**table, "catalogue": "lcm-lora-sdxl", "repository": "org/sdxl"}
    models = {
        "cached": {**table, "repository": "org/mini"},
        "swapped": {
            **table,
            "catalogue": "scenes-turbo",
            "repository": "org/mini",
            "unet_repository": "org/unet",
        },
        "fused": {**sdxl, "lora_repository": "org/lora"},
        "absent": {**table, "repository": "org/other"},
    }
    done = run(_LOAD, json.dumps(models), HF_HUB_CACHE=str(tmp_path))
    *cached, absent = done.stdout.splitlines()
    assert cached == [
        f"cached {commit} ok",
        f"swapped {commit} {commit[::-1]} ok",
        f"fused {commit} {commit[::-1]} ok",
    ]
    assert absent == (
        'models.absent: "org/other" is not in the local cache and the hub cannot be reached; '
        "connect to it, or name a folder with the checkpoint"
    )
    assert done.stderr == ""


class _Hub(BaseHTTPRequestHandler):
    """A hub that refuses as the real one does: by status and the header X-Error-Code."""

    def do_HEAD(self):
        name, status = next(
            (code, status)
            for part, code, status in (
                ("org/gated", "GatedRepo", 403),
                ("org/old", "RevisionNotFound", 404),
                ("", "RepoNotFound", 404),
            )
            if part in self.path
        )
        self.send_response(status)
        self.send_header("X-Error-Code", name)
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *_):
        pass


def test_what_the_hub_refuses_has_its_own_remedy(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    models = {
        name: {"catalogue": "scenes-base", "repository": f"org/{name}", "revision": "v9"}
        for name in ("gated", "old", "none")
    }
    done = run(
        _LOAD,
        json.dumps(models),
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
        HF_HUB_CACHE=str(tmp_path),
    )
    server.shutdown()
    assert done.stdout.splitlines() == [
        'models.gated: "org/gated" is gated; accept its licence on the hub, then run: hf auth '
        "login",
        'models.old: "org/old" has no such revision on the hub; correct the revision',
        'models.none: "org/none" is not on the hub, or is private; correct the name',
    ], done.stderr
