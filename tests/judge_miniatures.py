"""Miniature checkpoints of the judges' real classes, with random weights, in their real layouts.

Each function writes into a folder and returns what a test may hold the metric against.
"""

import json
import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
)

from evalkit import tables
from evalkit.study_folder import StudyFolder
from tests import miniatures

CLIP = {  # open_clip's words for a CLIP
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def pictures(sizes: list[tuple[int, int]], seed: int = 3) -> list[Image.Image]:
    """Images of these sizes (width, height) in large random patches of colour."""
    rng = np.random.default_rng(seed)
    patches = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in sizes]
    return [
        Image.fromarray(patch).resize(size, Image.Resampling.BICUBIC)
        for patch, size in zip(patches, sizes, strict=True)
    ]


def study(root: Path, prompts: list[str]) -> StudyFolder:
    """A generated study of one model: an image of its own for each prompt (p0, p1, ...)."""
    (root / "study.toml").write_text(
        'name = "mini"\nseed = 1\n[prompts]\nsource = "scenes"\n[images]\nseeds = [0]\n'
        "[models.scenes-base]\n[models.scenes-turbo]\n"
        '[[questions]]\nid = "quality"\ntext = "Which image is better?"\nshow_prompt = false\n'
    )
    ids = [f"p{number}" for number in range(len(prompts))]
    (root / "images").mkdir()
    for one, image in zip(ids, pictures([(64, 48)] * len(prompts)), strict=True):
        image.save(root / "images" / f"{one}.png")
    texts = pd.DataFrame({"prompt_id": ids, "prompt": prompts, "category": "", "challenge": ""})
    tables.write(texts, root / "prompts.csv", tables.PROMPTS)
    images = pd.DataFrame({"image_id": ids, "prompt_id": ids, "model": "scenes-base", "seed": 0})
    images["file_name"] = images["image_id"] + ".png"
    images = images.assign(width=64, height=48, sha256="", seconds=0.1, status="ok")
    tables.write(images, root / "images.csv", tables.IMAGES)
    return StudyFolder(root)


def pick_score(folder: Path) -> CLIPModel:
    """A CLIP of transformers with its processor, as PickScore v1 is published; reads 24 tokens."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    text = CLIPTextConfig(
        **sizes,
        num_attention_heads=2,
        vocab_size=len(miniatures._vocabulary()),
        max_position_embeddings=24,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    vision = CLIPVisionConfig(**sizes, num_attention_heads=2, image_size=32, patch_size=8)
    config = CLIPConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        projection_dim=16,
        logit_scale_init_value=math.log(100),  # as in PickScore v1, to its seventh digit
    )
    model = CLIPModel(config).eval()
    model.save_pretrained(folder)
    miniatures._tokenizer().save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return model


def hps(file: Path) -> Any:
    """A CLIP of open_clip in half precision, wrapped as HPS v2 is published."""
    torch.manual_seed(1)
    model = open_clip.CLIP(**CLIP).eval()
    half = {key: tensor.half() for key, tensor in model.state_dict().items()}
    torch.save({"epoch": 1, "state_dict": half}, file)
    model.load_state_dict(half)
    return model


def head(width: int, seed: int = 2) -> torch.nn.Sequential:
    """The layers of both published heads, with dropout, for embeddings of `width` numbers."""
    torch.manual_seed(seed)
    nn = torch.nn
    layers = [nn.Linear(width, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2)]
    layers += [nn.Linear(128, 64), nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1)]
    return nn.Sequential(*layers).eval()


def aesthetic(folder: Path) -> tuple[Any, torch.nn.Sequential]:
    """A CLIP in open_clip's layout, and the head beside it under its published name."""
    torch.manual_seed(4)
    model = open_clip.CLIP(**CLIP).eval()
    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    content = {"model_cfg": CLIP, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    layers = head(16)
    state = {f"layers.{key}": tensor for key, tensor in layers.state_dict().items()}
    torch.save(state, folder / "sac+logos+ava1-l14-linearMSE.pth")
    return model, layers


def image_reward(folder: Path) -> dict[str, torch.Tensor]:
    """ImageReward under its published names: BLIP 64 and 128 wide, two layers each; a tokenizer."""
    rng = torch.Generator().manual_seed(5)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "star", "cat"]
    words += [*"bcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    shapes = _vision_shapes(64) | _text_shapes(128, 64, len(words))
    tensors = {
        key: torch.randn(shape, generator=rng) / max(shape[-1], 4) ** 0.5
        for key, shape in shapes.items()
    }
    for key in tensors:
        if "embed" in key or "cls_token" in key:  # so small that the norms' epsilons count
            tensors[key] *= 1e-3
        if "norm" in key.lower() and key.endswith("weight"):
            tensors[key] += 1
    tensors["blip.text_encoder.embeddings.position_ids"] = torch.arange(40)[None]
    tensors["blip.vision_proj.weight"] = torch.zeros(8, 64)  # of training, not used
    layers = head(128, seed=6).state_dict()
    tensors |= {f"mlp.layers.{key}": tensor for key, tensor in layers.items()}
    torch.save(tensors, folder / "ImageReward.pt")
    return tensors


def _vision_shapes(width: int) -> dict[str, tuple[int, ...]]:
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 17, width)}  # 4 x 4 patches and a class
    shapes |= _linear("patch_embed.proj", (width, 3, 8, 8)) | _norm("norm", width)
    for block in ("blocks.0", "blocks.1"):
        shapes |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm2", width)
        shapes |= _linear(f"{block}.attn.qkv", (3 * width, width))
        shapes |= _linear(f"{block}.attn.proj", (width, width))
        shapes |= _linear(f"{block}.mlp.fc1", (4 * width, width))
        shapes |= _linear(f"{block}.mlp.fc2", (width, 4 * width))
    return {f"blip.visual_encoder.{key}": shape for key, shape in shapes.items()}


def _text_shapes(width: int, seen: int, words: int) -> dict[str, tuple[int, ...]]:
    shapes = {
        "embeddings.word_embeddings.weight": (words, width),
        "embeddings.position_embeddings.weight": (40, width),
    }
    shapes |= _norm("embeddings.LayerNorm", width)
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        for attention, source in (("attention", width), ("crossattention", seen)):
            shapes |= _linear(f"{layer}.{attention}.self.query", (width, width))
            shapes |= _linear(f"{layer}.{attention}.self.key", (width, source))
            shapes |= _linear(f"{layer}.{attention}.self.value", (width, source))
            shapes |= _linear(f"{layer}.{attention}.output.dense", (width, width))
            shapes |= _norm(f"{layer}.{attention}.output.LayerNorm", width)
        shapes |= _linear(f"{layer}.intermediate.dense", (2 * width, width))
        shapes |= _linear(f"{layer}.output.dense", (width, 2 * width))
        shapes |= _norm(f"{layer}.output.LayerNorm", width)
    return {f"blip.text_encoder.{key}": shape for key, shape in shapes.items()}


def _linear(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


class _Code:
    """What a pickle runs when it is read: here it would end the test run."""

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return os._exit, (3,)


def code(file: Path) -> Path:
    """A file that would run something where a careless reader opened it."""
    file.write_bytes(pickle.dumps({"layers.0.weight": _Code()}))
    return file


def cached(root: Path, repository: str) -> Path:
    """The folder in a cache of the hub where the files of this repository lie."""
    folder = root / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot
