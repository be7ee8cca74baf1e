"""Stage export: writes the trained networks into the package as folders that libraries load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    StableDiffusionPipeline,
)
from safetensors.torch import save_file

from evalkit.models.scenes.attributes import WEIGHTS, build_network
from evalkit.models.scenes.training.clip import clip_config
from evalkit.models.scenes.training.codec import build_codec
from evalkit.models.scenes.training.consistency import GRID, GUIDANCE_WIDTH
from evalkit.models.scenes.training.networks import NOISE, build_unet, sampling_scheduler
from evalkit.models.scenes.training.teacher import load_teacher
from evalkit.models.scenes.training.tokenizer import load_tokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")


def make_export(work: Path, weights: Path = WEIGHTS.parent) -> None:
    """Write every finished network under `weights`, in half precision, readable by all."""
    weights.mkdir(parents=True, exist_ok=True)
    export_teacher(work, weights / "scenes-base")
    lcm = LCMScheduler(**NOISE, original_inference_steps=GRID, clip_sample=False)
    lcm_unet = build_unet(time_cond_proj_dim=GUIDANCE_WIDTH)
    export_student(work / "consistency.pt", lcm_unet, lcm, weights / "scenes-lcm")
    euler = EulerAncestralDiscreteScheduler(**NOISE, timestep_spacing="trailing")
    export_student(work / "turbo.pt", build_unet(), euler, weights / "scenes-turbo")
    export_classifier(work, weights / WEIGHTS.name)
    export_clip(work, weights / "scenes-clip")
    for path in weights.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (work / "exported.txt").write_text("done\n")


def export_teacher(work: Path, folder: Path) -> None:
    """The complete pipeline of the teacher; its text encoder and decoder serve all models."""
    teacher, codec = load_teacher(work), build_codec()
    codec.load_state_dict(torch.load(work / "codec.pt", weights_only=True))
    pipeline = StableDiffusionPipeline(
        vae=codec,
        text_encoder=teacher.text,
        tokenizer=load_tokenizer(work / "tokenizer"),
        unet=teacher.unet,
        scheduler=sampling_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(work / "tokenizer" / name, folder / "tokenizer" / name)


def export_student(state: Path, unet: torch.nn.Module, scheduler: object, folder: Path) -> None:
    """A distilled UNet with its scheduler; skipped while it is not trained yet."""
    if not state.exists():
        return
    unet.load_state_dict(torch.load(state, weights_only=True))
    unet.half().save_pretrained(folder / "unet", safe_serialization=True)
    scheduler.save_pretrained(folder / "scheduler")


def export_classifier(work: Path, path: Path) -> None:
    """The attribute network."""
    network = build_network()
    network.load_state_dict(torch.load(work / "classifier.pt", weights_only=True))
    save_file({name: t.contiguous() for name, t in network.half().state_dict().items()}, path)


def export_clip(work: Path, folder: Path) -> None:
    """The CLIP in open_clip's folder format, with its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary_size = len(load_tokenizer(work / "tokenizer"))
    content = {
        "model_cfg": clip_config(vocabulary_size),
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(content, indent=2) + "\n")
    for name in TOKENIZER_FILES:
        shutil.copy(work / "tokenizer" / name, folder / name)
    state = torch.load(work / "clip.pt", weights_only=True)
    half = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    save_file(half, folder / "open_clip_model.safetensors")
