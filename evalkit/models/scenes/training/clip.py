"""Stage clip: a small CLIP of open_clip's own class, on renders and captions of all pairs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, normalize

from evalkit.models.scenes.captions import write_caption
from evalkit.models.scenes.scene import BACKGROUNDS, COLOURS, OPPOSITE, SHAPES, SIDE, Scene
from evalkit.models.scenes.training.checkpoints import save_checkpoint
from evalkit.models.scenes.training.data import load_pca
from evalkit.models.scenes.training.examples import add_filler
from evalkit.models.scenes.training.loop import run_loop
from evalkit.models.scenes.training.rates import cosine_rate, set_rate
from evalkit.models.scenes.training.renders import draw_renders
from evalkit.models.scenes.training.text import CHOICES, attribute_loss, scene_labels
from evalkit.models.scenes.training.tokenizer import POSITIONS, load_tokenizer, tokenize

STAGE = 5
BATCH = 64
STEPS = 1_700
RATE = 1.5e-3


def clip_config(vocabulary_size: int) -> dict:
    """The `model_cfg` of open_clip."""
    return {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": SIDE,
            "patch_size": 12,
            "layers": 4,
            "width": 128,
            "head_width": 32,
        },
        "text_cfg": {
            "context_length": POSITIONS,
            "vocab_size": vocabulary_size,
            "hf_tokenizer_name": "scenes",
            "width": 96,
            "heads": 3,
            "layers": 3,
            "no_causal_mask": True,
        },
    }


def train_clip(work: Path, steps: int = STEPS, stop_after: int | None = None) -> None:
    """Train the CLIP and write `clip.pt`."""
    learner = ClipLearner(work, steps)
    if run_loop(learner, work, "clip", steps=steps, batch=BATCH, stop_after=stop_after):
        save_checkpoint(work / "clip.pt", learner.model.state_dict())


class ClipLearner:
    """The CLIP on renders, their captions, and captions with one attribute changed.

    Two linear heads, not kept, also name the attributes from each embedding: that teaches shapes
    and places, which contrast alone learns late.
    """

    def __init__(self, work: Path, steps: int) -> None:
        self.steps, self.pca = steps, load_pca(work)
        self.tokenizer = load_tokenizer(work / "tokenizer")
        torch.manual_seed(STAGE)
        self.model = CLIP(**clip_config(len(self.tokenizer)))
        width = self.model.text_projection.shape[1]
        self.heads = nn.ModuleList(nn.Linear(width, sum(CHOICES)) for _ in range(2))
        self.weights = [*self.model.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=RATE, betas=(0.9, 0.98), weight_decay=0.05
        )

    def parts(self) -> dict:
        """Model, heads and optimizer."""
        return {"model": self.model, "heads": self.heads, "optimizer": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """One update on a batch of renders and captions."""
        set_rate(self.optimizer, cosine_rate(number, self.steps, RATE, warm_up=100))
        scenes, pixels = draw_renders(STAGE, number, BATCH, self.pca, empty_share=0.0)
        rng = np.random.default_rng([STAGE, 1, number])
        changed = [change_scene(scene, rng) for scene in scenes]
        captions = [write_caption(scene, rng) for scene in scenes]
        captions += [write_caption(scene, rng, full=True) for scene in changed]
        captions = [add_filler(caption, rng) for caption in captions]
        ids = torch.from_numpy(tokenize(self.tokenizer, captions).astype(np.int64))
        labels = torch.tensor([scene_labels(scene) for scene in [*scenes, *changed]])
        # The fused attention of torch 2 has a slow bfloat16 backward pass on a CPU.
        with sdpa_kernel(SDPBackend.MATH):
            loss, right = self._loss(pixels, ids, labels)
            self.optimizer.zero_grad()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        return {"loss": loss.item(), "right caption first": right}

    def _loss(
        self, pixels: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, float]:
        """Contrastive and attribute loss; changed captions are extra wrong answers."""
        n = len(pixels)
        with torch.autocast("cpu", torch.bfloat16):
            seen, said = self.model.encode_image(pixels), self.model.encode_text(ids)
            of_seen, of_said = self.heads[0](seen).float(), self.heads[1](said).float()
        seen, said = normalize(seen.float(), dim=-1), normalize(said.float(), dim=-1)
        scores = self.model.logit_scale.exp() * seen @ said.T
        wanted = torch.arange(n)
        loss = (cross_entropy(scores, wanted) + cross_entropy(scores[:, :n].T, wanted)) / 2
        loss = loss + attribute_loss(of_seen, labels[:n]) + attribute_loss(of_said, labels)
        return loss, (scores.argmax(dim=1) == wanted).float().mean().item()


def change_scene(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with one attribute changed: a colour, a shape, the relation or the background."""
    kind = rng.choice(["colour", "shape", "relation", "background"], p=[0.3, 0.35, 0.25, 0.1])
    if kind == "background":
        return replace(scene, background=_other(BACKGROUNDS, scene.background, rng))
    if kind == "relation" and scene.relation is not None:
        return replace(scene, relation=OPPOSITE[scene.relation])
    number = int(rng.integers(len(scene.things)))
    thing = scene.things[number]
    if kind == "colour":
        thing = replace(thing, colour=_other(tuple(COLOURS), thing.colour, rng))
    else:
        thing = replace(thing, shape=_other(SHAPES, thing.shape, rng))
    return replace(scene, things=(*scene.things[:number], thing, *scene.things[number + 1 :]))


def _other(words: tuple[str, ...], word: str, rng: np.random.Generator) -> str:
    return str(rng.choice([candidate for candidate in words if candidate != word]))
