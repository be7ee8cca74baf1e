"""Small study folders with real images, made without any model: plain functions for tests."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, PngImagePlugin

from evalkit import tables
from evalkit.collection import open_collection
from evalkit.files import file_sha256
from evalkit.store import Store
from evalkit.study import Study
from evalkit.study_folder import StudyFolder

NOW = "2030-01-01T10:00:00.000+00:00"
MODELS = {"secret-alpha": 1, "secret-beta": 2, "secret-gamma": 3}  # name: steps

_TEXT = """
name = "factory"
seed = 7

[prompts]
source = "prompts.csv"

[images]
seeds = {seeds}
viewing_size = {viewing_size}

{models}
[[questions]]
id = "alignment"
text = "Which image shows the description better?"
show_prompt = true
tie = true

[[questions]]
id = "quality"
text = "Which image looks better made?"
show_prompt = false
tie = true
both_bad = true

[design]
votes_per_pair = {votes_per_pair}
trials_per_annotator = {trials_per_annotator}
attention_share = {attention_share}
repeat_share = {repeat_share}
min_viewing_ms = {min_viewing_ms}
practice_trials = {practice_trials}
"""


def make_study(
    root: Path,
    *,
    n_prompts: int = 6,
    seeds: tuple[int, ...] = (0,),
    models: tuple[str, ...] = tuple(MODELS),
    viewing_size: int = 64,
    votes_per_pair: int = 2,
    trials_per_annotator: int = 12,
    attention_share: float = 0.1,
    repeat_share: float = 0.1,
    min_viewing_ms: int = 0,
    practice_trials: int = 0,
    **design: object,
) -> StudyFolder:
    """A study folder with prompts.csv, images.csv and a real PNG for every image.

    `design` are further keys of that section: policy="adaptive", block_length=5.
    """
    root.mkdir(parents=True, exist_ok=True)
    tables_of_models = "".join(
        f'[models.{name}]\ncatalogue = "sdxl-turbo"\nsteps = {MODELS[name]}\n' for name in models
    )
    (root / "study.toml").write_text(
        _TEXT.format(
            seeds=list(seeds),
            viewing_size=viewing_size,
            models=tables_of_models,
            votes_per_pair=votes_per_pair,
            trials_per_annotator=trials_per_annotator,
            attention_share=attention_share,
            repeat_share=repeat_share,
            min_viewing_ms=min_viewing_ms,
            practice_trials=practice_trials,
        )
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in design.items())
    )
    folder = StudyFolder(root)
    prompts = make_prompts(n_prompts)
    tables.write(prompts, folder.prompts_file, tables.PROMPTS)
    tables.write(make_images(folder.study, prompts, folder.images), folder.images_file, IMAGES)
    return folder


IMAGES = tables.IMAGES


def make_prompts(n: int) -> pd.DataFrame:
    """`n` prompts about different animals."""
    animals = ["otter", "heron", "lynx", "gecko", "bison", "wren", "newt", "ibex", "crane", "mole"]
    return pd.DataFrame(
        {
            "prompt_id": [f"p{i:03d}" for i in range(n)],
            "prompt": [f"one {animals[i % len(animals)]} by lake {i}" for i in range(n)],
            "category": "Animals",
            "challenge": "Basic",
        }
    )


def make_images(study: Study, prompts: pd.DataFrame, folder: Path | None = None) -> pd.DataFrame:
    """A row per model, prompt and seed (`tables.IMAGES`); with `folder` also the PNG files.

    The files differ by model in size, metadata and byte length, as real ones do.
    """
    rows = []
    for number, model in enumerate(study.models):
        side = 32 * (number + 1)
        for prompt in prompts.itertuples():
            for seed in study.images.seeds:
                image_id = model.image_id(prompt.prompt, seed)
                name = f"{model.name}/{image_id}.png"
                sha256 = ""
                if folder is not None:
                    draw_image(folder / name, side, model.name, prompt.prompt_id, seed)
                    sha256 = file_sha256(folder / name)
                rows.append(
                    {
                        "image_id": image_id,
                        "prompt_id": prompt.prompt_id,
                        "model": model.name,
                        "seed": seed,
                        "file_name": name,
                        "width": side,
                        "height": side,
                        "sha256": sha256,
                        "seconds": 0.1,
                        "status": "ok",
                    }
                )
    return tables.check(pd.DataFrame(rows), tables.IMAGES, "images")


def draw_image(path: Path, side: int, model: str, prompt_id: str, seed: int) -> None:
    """A coloured disc on a gradient, with the model's name in the PNG's text as some tools do."""
    digest = hashlib.sha256(f"{model} {prompt_id} {seed}".encode()).digest()
    y, x = np.mgrid[0:side, 0:side] / side
    picture = np.stack([x, y, 1 - x], axis=-1) * 80 + 100
    centre_x, centre_y = 0.3 + digest[0] / 640, 0.3 + digest[1] / 640
    inside = (x - centre_x) ** 2 + (y - centre_y) ** 2 < 0.06
    picture[inside] = list(digest[2:5])
    noise = np.random.default_rng(digest[5]).normal(0, side / 16, picture.shape)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", f"model: {model}")
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(picture + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, pnginfo=info)


def open_factory_store(root: Path, **settings: object) -> Store:
    """The store of a fresh study folder made with these settings."""
    return open_collection(make_study(root, **settings), NOW)


def admit(store: Store, annotator_id: str, token: str = "") -> str:
    """Invite, let consent and begin a session; gives the session's id."""
    store.add_annotator(annotator_id, token or f"token-of-{annotator_id}", NOW)
    store.consent(annotator_id, NOW)
    session_id = f"session-of-{annotator_id}"
    store.start_session(session_id, annotator_id, NOW)
    return session_id
