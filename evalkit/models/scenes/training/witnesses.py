"""Measures the measures: how well classifier, codec and CLIP do on renders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from evalkit.models.scenes.attributes import read_images, score_attributes
from evalkit.models.scenes.captions import parse_caption, write_caption
from evalkit.models.scenes.drawing import draw_picture
from evalkit.models.scenes.scene import Scene, draw_scene
from evalkit.models.scenes.training.clip import change_scene
from evalkit.models.scenes.training.codec import build_codec, measure
from evalkit.models.scenes.training.data import encode, load_pca

RENDERS = 400
SEED = 99


def unseen_renders(size: int) -> tuple[list[Scene], list[str], list[Image.Image]]:
    """Scenes, full captions and pictures; half of them with a held-out pair."""
    rng = np.random.default_rng(SEED)
    scenes = [draw_scene(rng, held_out=i % 2 == 1) for i in range(size)]
    captions = [write_caption(scene, rng, full=True) for scene in scenes]
    return scenes, captions, [draw_picture(scene) for scene in scenes]


def share_read(images: list[Image.Image], captions: list[str]) -> float:
    """Share of all attributes that the classifier reads as the captions say."""
    seen = read_images(images)
    right = [
        mark
        for caption, found in zip(captions, seen, strict=True)
        for mark in score_attributes(parse_caption(caption), found).all
    ]
    return round(float(np.mean(right)), 4)


def measure_witnesses(work: Path, weights: Path) -> dict:
    """Accuracy on unseen renders of the classifier, of codec plus classifier, and of the CLIP."""
    scenes, captions, pictures = unseen_renders(RENDERS)
    codec, pca = build_codec(), load_pca(work)
    codec.load_state_dict(torch.load(work / "codec.pt", weights_only=True))
    latents = torch.from_numpy(encode(np.stack([np.asarray(p) for p in pictures]), pca))
    with torch.no_grad():
        made = torch.cat([codec.decode(part).sample for part in latents.split(50)])
    pixels = ((made.clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    through = [Image.fromarray(one) for one in pixels]
    return {
        "renders": RENDERS,
        "classifier": share_read(pictures, captions),
        "classifier_after_codec": share_read(through, captions),
        "codec_decibels": round(measure(codec, pca), 2),
        "clip_prefers_true_caption": clip_preference(weights, scenes, pictures),
    }


def clip_preference(weights: Path, scenes: list[Scene], pictures: list[Image.Image]) -> float:
    """Share of renders whose own caption scores above one with a single attribute changed."""
    import open_clip

    name = f"local-dir:{weights / 'scenes-clip'}"
    model, _, prepare = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()
    rng = np.random.default_rng(SEED)
    true = [write_caption(scene, rng, full=True) for scene in scenes]
    false = [write_caption(change_scene(scene, rng), rng, full=True) for scene in scenes]
    with torch.no_grad():
        seen = model.encode_image(torch.stack([prepare(p) for p in pictures]), normalize=True)
        said = model.encode_text(tokenizer(true), normalize=True)
        other = model.encode_text(tokenizer(false), normalize=True)
    better = (seen * said).sum(dim=1) > (seen * other).sum(dim=1)
    return round(better.float().mean().item(), 4)
