"""Study folders with pictures worth looking at: drawn scenes, sharp, soft and noisy, 512 px."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from evalkit import tables
from evalkit.files import file_sha256
from evalkit.models.scenes.captions import write_caption
from evalkit.models.scenes.drawing import draw_picture
from evalkit.models.scenes.scene import Scene, draw_scene
from evalkit.study_folder import StudyFolder

SIDE = 512  # pixels
MODELS = {"secret-sharp": 1, "secret-soft": 2, "secret-noisy": 3}  # name: steps
QUALITY = "Which image looks better made?"
ALIGNMENT = "Which image shows the description better?"

_STUDY = f"""
name = "scenes"
seed = 11

[prompts]
source = "prompts.csv"

[images]
seeds = [0]
viewing_size = {SIDE}

[[questions]]
id = "alignment"
text = "{ALIGNMENT}"
show_prompt = true

[[questions]]
id = "quality"
text = "{QUALITY}"
show_prompt = false
both_bad = true
"""


def make_scene_study(
    root: Path, n_prompts: int = 7, texts: str = "", **sections: dict[str, object]
) -> StudyFolder:
    """A study folder with images.csv and its PNGs.

    `sections` are keys of study.toml by section: design={"block_length": 5}. `texts` is what
    stands in texts.toml, the study's own texts.
    """
    root.mkdir(parents=True)
    models = {
        f"models.{name}": {"catalogue": "sdxl-turbo", "steps": MODELS[name]} for name in MODELS
    }
    (root / "study.toml").write_text(_STUDY + "".join(map(_section, *_split(models | sections))))
    (root / "texts.toml").write_text(texts, "utf-8")
    folder = StudyFolder(root)
    scenes = _scenes(n_prompts)
    prompts = pd.DataFrame(
        {
            "prompt_id": [f"p{number:03d}" for number in range(n_prompts)],
            "prompt": [write_caption(scene, np.random.default_rng(scene.seed)) for scene in scenes],
            "category": "Scenes",
            "challenge": "Basic",
        }
    )
    tables.write(prompts, folder.prompts_file, tables.PROMPTS)
    tables.write(_images(folder, prompts, scenes), folder.images_file, tables.IMAGES)
    return folder


def _split(sections: dict[str, dict]) -> tuple[list[str], list[dict]]:
    return list(sections), list(sections.values())


def _section(name: str, values: dict[str, object]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([f"\n[{name}]", *lines, ""])


def _scenes(n: int) -> list[Scene]:
    rng = np.random.default_rng(5)
    return [draw_scene(rng, count=2) for _ in range(n)]


def _images(folder: StudyFolder, prompts: pd.DataFrame, scenes: list[Scene]) -> pd.DataFrame:
    rows = []
    for model in folder.study.models:
        for prompt, scene in zip(prompts.itertuples(), scenes, strict=True):
            image_id = model.image_id(prompt.prompt, 0)
            path = folder.images / model.name / f"{image_id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            _picture(scene, model.name).save(path)
            rows.append(
                {
                    "image_id": image_id,
                    "prompt_id": prompt.prompt_id,
                    "model": model.name,
                    "seed": 0,
                    "file_name": f"{model.name}/{image_id}.png",
                    "width": SIDE,
                    "height": SIDE,
                    "sha256": file_sha256(path),
                    "seconds": 0.1,
                    "status": "ok",
                }
            )
    return tables.check(pd.DataFrame(rows), tables.IMAGES, "images")


def _picture(scene: Scene, model: str) -> Image.Image:
    """The scene as this model draws it: sharp, blurred, or with grain."""
    picture = draw_picture(scene).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    if model == "secret-soft":
        return picture.filter(ImageFilter.GaussianBlur(5))
    if model == "secret-noisy":
        coarse = np.random.default_rng(scene.seed).normal(128, 40, (96, 96))
        grain = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
        spread = np.asarray(grain.resize((SIDE, SIDE), Image.Resampling.BILINEAR), float) - 128
        pixels = np.clip(np.asarray(picture) + spread[..., None], 0, 255)
        return Image.fromarray(pixels.astype(np.uint8))
    return picture
