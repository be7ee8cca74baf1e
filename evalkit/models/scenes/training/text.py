"""Stage text: teaches the text encoder to say what a caption shows, before any picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from evalkit.models.scenes.scene import BACKGROUNDS, COLOURS, RADII, SHAPES, Scene
from evalkit.models.scenes.training.checkpoints import save_checkpoint, seeded
from evalkit.models.scenes.training.examples import training_scene
from evalkit.models.scenes.training.loop import run_loop
from evalkit.models.scenes.training.networks import TEXT_WIDTH, build_text_encoder
from evalkit.models.scenes.training.rates import cosine_rate, set_rate
from evalkit.models.scenes.training.tokenizer import load_tokenizer

STAGE = 1
SCENES_READ = 40_000
BATCH = 128
STEPS = 1_200
RATE = 2e-3
SIZES = tuple(RADII)
CHOICES = (*(len(COLOURS), len(SHAPES), len(SIZES)) * 2, 3, len(BACKGROUNDS))


def train_text(work: Path, steps: int = STEPS, stop_after: int | None = None) -> None:
    """Pre-train the text encoder and write `text.pt`."""
    learner = TextLearner(work, steps)
    if run_loop(learner, work, "text", steps=steps, batch=BATCH, stop_after=stop_after):
        save_checkpoint(work / "text.pt", learner.encoder.state_dict())


class TextLearner:
    """Text encoder and a linear head that names attributes from its last position."""

    def __init__(self, work: Path, steps: int) -> None:
        self.steps = steps
        self.tokens = np.load(work / "tokens.npy", mmap_mode="r")
        self.read = min(SCENES_READ, len(self.tokens))
        self.labels = torch.tensor([scene_labels(training_scene(i)) for i in range(self.read)])
        torch.manual_seed(STAGE)
        self.encoder = build_text_encoder(len(load_tokenizer(work / "tokenizer")))
        self.head = nn.Linear(TEXT_WIDTH, sum(CHOICES))
        self.both = nn.ModuleList([self.encoder, self.head])
        self.optimizer = torch.optim.AdamW(self.both.parameters(), lr=RATE, weight_decay=0.01)

    def parts(self) -> dict:
        """Networks and optimizer."""
        return {"networks": self.both, "optimizer": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """One update on a batch of captions."""
        random = seeded(STAGE, number)
        chosen = torch.randint(self.read, (BATCH,), generator=random)
        wording = torch.randint(self.tokens.shape[1], (BATCH,), generator=random)
        ids = torch.from_numpy(self.tokens[chosen.numpy(), wording.numpy()].astype(np.int64))
        set_rate(self.optimizer, cosine_rate(number, self.steps, RATE, warm_up=100))
        loss = self._loss(ids, self.labels[chosen])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}

    def _loss(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The attribute loss; the last position sees the whole caption."""
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.head(self.encoder(ids).last_hidden_state[:, -1])
        return attribute_loss(scores.float(), labels)


def attribute_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the attributes; scores (n, 41) and labels (n, 8)."""
    losses = [
        nn.functional.cross_entropy(part, labels[:, i], ignore_index=-1)
        for i, part in enumerate(scores.split(CHOICES, dim=1))
    ]
    return sum(losses) / len(losses)


def scene_labels(scene: Scene) -> list[int]:
    """What a caption should reveal, by place: the upper or left thing, the other, axis, background.

    A missing second thing is -1, which the loss ignores.
    """
    things = scene.things[::-1] if scene.relation in ("right", "below") else scene.things
    labels = []
    for place in range(2):
        if place < len(things):
            thing = things[place]
            labels += [
                tuple(COLOURS).index(thing.colour),
                SHAPES.index(thing.shape),
                SIZES.index(thing.size),
            ]
        else:
            labels += [-1, -1, -1]
    axis = 0 if scene.relation is None else 1 + (scene.relation in ("above", "below"))
    return [*labels, axis, BACKGROUNDS.index(scene.background)]
