"""Every entry of the catalogue through `evalkit generate`, on miniatures of its real classes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from evalkit.models import CATALOGUE
from evalkit.study_folder import open_study
from tests import cascade_miniatures, families, miniatures
from tests.miniatures import study_file

_STAGES = [("one", 3), ("two", 2), ("three", 2)]

PARTS = {  # entry -> the miniatures that stand for what it names, and what has to be small
    "scenes-base": {},
    "scenes-lcm": {},
    "scenes-turbo": {},
    "sdxl-turbo": {"repository": "sdxl"},
    "sdxl-turbo-authors": {"repository": "sdxl"},
    "sd-turbo": {"repository": "sd_turbo"},
    "sd-turbo-img2img": {"repository": "sd_turbo"},
    "sdxl": {"repository": "sdxl", "steps": 3},
    "lcm-sdxl": {"repository": "sdxl", "unet_repository": "lcm_sdxl_unet"},
    "lcm-lora-sdxl": {"repository": "sdxl", "lora_repository": "lora_sdxl"},
    "lcm-lora-sdv1-5": {"repository": "sd15", "lora_repository": "lora_sd15"},
    "sd-1-5": {"repository": "sd15", "steps": 3},
    "sd-2-1": {"repository": "v_prediction", "steps": 3},
    "sd-2-1-base": {"repository": "epsilon", "steps": 3},
    "amused-512": {"repository": "amused", "steps": 3, "variant": ""},
    "sdxl-lightning-2": {"repository": "sdxl", "unet_repository": "unets"},
    "sdxl-lightning-4": {"repository": "sdxl", "unet_repository": "unets"},
    "sdxl-lightning-8": {"repository": "sdxl", "unet_repository": "unets"},
    "hyper-sd-2": {"repository": "sdxl", "lora_repository": "lora_sdxl"},
    "hyper-sd-4": {"repository": "sdxl", "lora_repository": "lora_sdxl"},
    "hyper-sd-8": {"repository": "sdxl", "lora_repository": "lora_sdxl"},
    "hyper-sd-unified": {"repository": "sdxl", "lora_repository": "lora_sdxl"},
    "dmd2": {"repository": "sdxl", "unet_repository": "unets", "unet_file": "dmd2.bin"},
    "sana-sprint": {"repository": "sana_sprint", "call_settings.use_resolution_binning": False},
    "flux-schnell": {"repository": "flux", "call_settings.max_sequence_length": 32},
    "sd-3-5-large-turbo": {"repository": "sd3"},
    "deepfloyd-if": {},
    "openmuse": {"callable": "own_model:images"},
    "stylegan-t": {"images": "made-elsewhere"},
    "hosted": {"command": [sys.executable, "fetch.py", "{prompt}", "{seed}", "{file}"]},
}

_FETCH = """
import sys
from PIL import Image
prompt, seed, file = sys.argv[1:]
Image.new("RGB", (32, 32), (len(prompt), int(seed), 9)).save(file)
"""

_OWN_MODEL = """
from PIL import Image

def images(prompts, seeds):
    colours = [(len(prompt), seed, 200) for prompt, seed in zip(prompts, seeds)]
    return [Image.new("RGB", (32, 32), colour) for colour in colours]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of all entries after `evalkit generate`, run as a user runs it."""
    root = tmp_path_factory.mktemp("catalogue")
    made = families.checkpoints(root / "made")
    miniatures.lcm_sdxl_unet(made / "lcm_sdxl_unet")
    for stage, name in enumerate(("one", "two", "three")):
        build = (
            cascade_miniatures.stage_one,
            cascade_miniatures.stage_two,
            cascade_miniatures.stage_three,
        )[stage]
        build(made / name)
    folder = study_file(root / "study", {name: table(name, made) for name in PARTS})
    with (folder.root / "study.toml").open("a") as file:
        for name, steps in _STAGES:
            file.write(
                f"[[models.deepfloyd-if.stages]]\nrepository = {json.dumps(str(made / name))}\n"
            )
            file.write(f"steps = {steps}\nguidance = 4.0\n")
        file.write("noise_level = 100\n")
    give_inputs(folder.root)
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "generate", str(folder.root), "--batch-size", "3"],
        capture_output=True,
        text=True,
        cwd=folder.root,
    )
    assert done.returncode == 0, done.stderr
    return open_study(folder.root)


def table(name: str, made: Path) -> dict[str, object]:
    """The model's table: the entry with miniatures for what it would fetch, at a small size."""
    if name.startswith("scenes-"):
        return {"steps": CATALOGUE[name]["steps"]}
    changes = dict(PARTS[name])
    for key in ("repository", "unet_repository", "lora_repository"):
        if key in changes:
            changes[key] = str(made / changes[key])
    if "sdxl-lightning" in name:
        changes["unet_file"] = "lightning.safetensors"
    if "hyper-sd" in name:
        changes["lora_file"] = "pytorch_lora_weights.safetensors"
    side = 64 if name == "deepfloyd-if" else 32
    return {"width": side, "height": side, **changes}


def give_inputs(root: Path) -> None:
    """The prompts with an input image each, images that were made elsewhere, and a client."""
    prompts = (root / "own.csv").read_text().splitlines()[1:]
    (root / "made-elsewhere").mkdir()
    rows = ["prompt_id,prompt,input_image"]
    for number, prompt in enumerate(prompts):
        Image.effect_noise((32, 32), 90).convert("RGB").save(root / f"start-{number}.png")
        rows.append(f"p{number},{prompt},start-{number}.png")
        for seed in (0, 1):
            picture = Image.new("RGB", (32, 32), (90 * number, 200 * seed, 40))
            picture.save(root / "made-elsewhere" / f"p{number}_{seed}.png")
    (root / "own.csv").write_text("\n".join(rows) + "\n")
    (root / "fetch.py").write_text(_FETCH)
    (root / "own_model.py").write_text(_OWN_MODEL)


def test_no_entry_is_left_out():
    assert set(PARTS) == set(CATALOGUE)


@pytest.mark.parametrize("name", PARTS)
def test_an_entry_makes_its_images(folder, name):
    images = folder.read_images()
    own = images[images["model"] == name]
    assert own["status"].tolist() == ["ok"] * 6
    assert own["sha256"].is_unique  # each prompt and each seed is an image of its own
    spec = next(model for model in folder.study.models if model.name == name)
    assert set(zip(own["width"], own["height"], strict=True)) == {(spec.width, spec.height)}
    [run] = json.loads(folder.manifest_file.read_text())["models"][name]["runs"]
    entry = CATALOGUE[name]
    if "pipeline_class" in entry:
        kind = entry["pipeline_class"]
        image = "Img2Img" if "strength" in entry else ""
        assert run["pipeline"] == kind.replace("Pipeline", f"{image}Pipeline")
    if "scheduler" in entry:
        assert run["scheduler"] == entry["scheduler"]
        settings = entry.get("scheduler_settings", {})
        assert {key: run["scheduler_config"][key] for key in settings} == settings


def test_what_is_named_apart_makes_other_images(folder):
    """The same weights, prompts and seeds by another sampler or number of steps."""
    images = folder.read_images().set_index(["model", "prompt_id", "seed"])["sha256"]
    for one, other in (
        ("sdxl-turbo", "sdxl-turbo-authors"),
        ("sdxl-lightning-2", "sdxl-lightning-4"),
        ("hyper-sd-2", "hyper-sd-unified"),
        ("sd-turbo", "sd-turbo-img2img"),
        ("lcm-sdxl", "lcm-lora-sdxl"),
    ):
        assert (images[one] != images[other]).all()
