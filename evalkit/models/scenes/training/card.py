"""Stage card: measures the exported models and writes card.json, CARD.md and the contact sheet."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoPipelineForText2Image,
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    UNet2DConditionModel,
)
from PIL import Image

from evalkit.models.scenes.attributes import (
    WEIGHTS,
    AttributeScores,
    read_images,
    score_attributes,
)
from evalkit.models.scenes.captions import parse_caption
from evalkit.models.scenes.training.card_page import write_page
from evalkit.models.scenes.training.contact_sheet import draw_sheet
from evalkit.models.scenes.training.prompt_set import CARD_KINDS, ScenePrompt, draw_prompts
from evalkit.models.scenes.training.witnesses import clip_preference, measure_witnesses

PROMPTS = 180
PROMPT_SEED = 7
IMAGE_SEED = 1_000
KINDS = ("shape", "colour", "count", "relation")
SCHEDULERS = {"scenes-lcm": LCMScheduler, "scenes-turbo": EulerAncestralDiscreteScheduler}


@dataclass(frozen=True)
class Setting:
    """A model at a number of steps and a guidance scale."""

    model: str
    steps: int
    guidance: float


SETTINGS = (
    Setting("scenes-base", 25, 4.0),
    Setting("scenes-base", 8, 4.0),
    Setting("scenes-base", 4, 4.0),
    Setting("scenes-lcm", 4, 4.0),
    Setting("scenes-lcm", 2, 4.0),
    Setting("scenes-turbo", 1, 0.0),
    Setting("scenes-turbo", 2, 0.0),
    Setting("scenes-turbo", 4, 0.0),
)


def load_pipeline(model: str, weights: Path = WEIGHTS.parent):
    """The exported model as its users load it: the base pipeline, UNet and scheduler swapped."""
    pipeline = AutoPipelineForText2Image.from_pretrained(weights / "scenes-base")
    if model != "scenes-base":
        unet = UNet2DConditionModel.from_pretrained(weights / model, subfolder="unet")
        pipeline.unet = unet
        scheduler = SCHEDULERS[model].from_pretrained(weights / model, subfolder="scheduler")
        pipeline.scheduler = scheduler
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(torch.float32)


def make_images(
    pipeline: object, prompts: list[str], setting: Setting, batch: int = 12
) -> list[Image.Image]:
    """One image per prompt, each from its own CPU generator."""
    images = []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        generators = [
            torch.Generator().manual_seed(IMAGE_SEED + start + i) for i in range(len(part))
        ]
        images += pipeline(
            part,
            num_inference_steps=setting.steps,
            guidance_scale=setting.guidance,
            generator=generators,
        ).images
    return images


def make_card(work: Path, weights: Path = WEIGHTS.parent, prompts: int = PROMPTS) -> None:
    """Measure every setting and write the card beside the weights."""
    asked = draw_prompts(prompts, PROMPT_SEED, CARD_KINDS)
    rows, shown = [], {}
    for setting in SETTINGS:
        if not (weights / setting.model).exists():
            continue
        pipeline = load_pipeline(setting.model, weights)
        images = make_images(pipeline, [one.prompt for one in asked], setting)
        seconds = _seconds_per_image(pipeline, asked[0].prompt, setting)
        row = asdict(setting) | {"cpu_seconds_per_image": seconds} | measure(images, asked)
        row["clip_prefers_own_prompt"] = clip_preference(
            weights, [one.scene for one in asked], images
        )
        print(f"{setting}: all {row['all']['estimate']:.3f} every {row['every']['estimate']:.3f} "
              f"shape {row['shape']['estimate']:.3f}", flush=True)  # fmt: skip
        rows.append(row)
        shown[f"{setting.model}, {setting.steps} step{'s' * (setting.steps > 1)}"] = images
    costs = work / "costs.json"
    card = {
        "prompts": {"n": prompts, "held_out": prompts // 2, "seed": PROMPT_SEED},
        "image_seed": IMAGE_SEED,
        "models": rows,
        "witnesses": measure_witnesses(work, weights),
        "costs": json.loads(costs.read_text()) if costs.exists() else {},
        "megabytes": _megabytes(weights),
    }
    (weights / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    write_page(card, weights / "CARD.md")
    draw_sheet([one.prompt for one in asked], shown, weights / "contact-sheet.png")
    for name in ("card.json", "CARD.md", "contact-sheet.png"):
        (weights / name).chmod(0o644)
    (work / "card.txt").write_text("done\n")


def measure(images: list[Image.Image], asked: list[ScenePrompt]) -> dict:
    """Attribute accuracy of one image per prompt, for each kind of attribute."""
    seen = read_images(images)
    scores = [
        score_attributes(parse_caption(one.prompt), found)
        for one, found in zip(asked, seen, strict=True)
    ]
    result = {"all": _share(scores, "all")} | {kind: _share(scores, kind) for kind in KINDS}
    result["every"] = _every(scores)
    for challenge in ("seen", "held-out"):
        chosen = [s for s, one in zip(scores, asked, strict=True) if one.challenge == challenge]
        name = challenge.replace("-", "_")
        result[name] = {"all": _share(chosen, "all"), "every": _every(chosen)}
    return result


def _share(scores: list[AttributeScores], kind: str) -> dict[str, float]:
    """Share of right attributes of a kind, over the prompts that ask for any."""
    marks = [getattr(score, kind) for score in scores if getattr(score, kind)]
    return _estimate(sum(sum(one) for one in marks), sum(len(one) for one in marks), len(marks))


def _every(scores: list[AttributeScores]) -> dict[str, float]:
    """Share of prompts with every attribute right."""
    return _estimate(sum(all(score.all) for score in scores), len(scores), len(scores))


def _estimate(right: int, total: int, prompts: int) -> dict[str, float]:
    """A share with its 95% Wilson interval.

    The interval counts prompts, not attributes: those of one image are right or wrong together.
    """
    share, z = right / total, 1.96
    middle = (share + z**2 / (2 * prompts)) / (1 + z**2 / prompts)
    spread = share * (1 - share) / prompts + z**2 / (4 * prompts**2)
    half = z * math.sqrt(spread) / (1 + z**2 / prompts)
    return {
        "estimate": round(share, 4),
        "low": round(max(0.0, middle - half), 4),
        "high": round(min(1.0, middle + half), 4),
        "n": total,
        "prompts": prompts,
    }


def _seconds_per_image(pipeline: object, prompt: str, setting: Setting, repeats: int = 5) -> float:
    """Median CPU-seconds for one image alone on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    for _ in range(repeats):
        started = time.process_time()
        make_images(pipeline, [prompt], setting)
        times.append(time.process_time() - started)
    torch.set_num_threads(before)
    return round(float(np.median(times)), 4)


def _megabytes(weights: Path) -> dict[str, float]:
    """Size of each part of the weights in megabytes, and of all together."""
    parts = {}
    for path in sorted(weights.iterdir()):
        if path.is_dir() or path.suffix == ".safetensors":
            files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
            parts[path.name] = round(sum(f.stat().st_size for f in files) / 1e6, 2)
    return parts | {"all": round(sum(parts.values()), 2)}
