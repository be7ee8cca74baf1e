"""Stage classifier: the attribute network, trained on renders that are blurred and noised."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from evalkit.models.scenes.attributes import CELL, CELLS, build_network
from evalkit.models.scenes.scene import COLOURS, SHAPES, Scene
from evalkit.models.scenes.training.checkpoints import save_checkpoint
from evalkit.models.scenes.training.data import load_pca
from evalkit.models.scenes.training.loop import run_loop
from evalkit.models.scenes.training.rates import cosine_rate, set_rate
from evalkit.models.scenes.training.renders import draw_renders

STAGE = 4
BATCH = 64
STEPS = 700
RATE = 3e-3
CENTRE_SPREAD = 6.0
CENTRE_WEIGHT = 20.0


def train_classifier(work: Path, steps: int = STEPS, stop_after: int | None = None) -> None:
    """Train the attribute network and write `classifier.pt`."""
    learner = ClassifierLearner(work, steps)
    if run_loop(learner, work, "classifier", steps=steps, batch=BATCH, stop_after=stop_after):
        save_checkpoint(work / "classifier.pt", learner.network.state_dict())


class ClassifierLearner:
    """The attribute network on renders of all pairs."""

    def __init__(self, work: Path, steps: int) -> None:
        self.steps, self.pca = steps, load_pca(work)
        torch.manual_seed(STAGE)
        self.network = build_network()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=RATE, weight_decay=0.01)

    def parts(self) -> dict:
        """Network and optimizer."""
        return {"network": self.network, "optimizer": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """One update on a batch of renders."""
        set_rate(self.optimizer, cosine_rate(number, self.steps, RATE, warm_up=50))
        scenes, pixels = draw_renders(STAGE, number, BATCH, self.pca)
        loss = _loss(self.network(pixels), scenes)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}


def _loss(maps: torch.Tensor, scenes: list[Scene]) -> torch.Tensor:
    """Centre loss plus cross-entropy of shape and colour in the cells about each centre."""
    middle = (torch.arange(CELLS) + 0.5) * CELL
    wanted = torch.zeros(len(scenes), CELLS, CELLS)
    places, shapes, colours = [], [], []
    for number, scene in enumerate(scenes):
        for thing in scene.things:
            across, down = middle[None, :] - thing.x, middle[:, None] - thing.y
            near = torch.exp(-(across**2 + down**2) / (2 * CENTRE_SPREAD**2))
            wanted[number] = torch.maximum(wanted[number], near)
            for row, column in torch.nonzero(near > 0.5).tolist():
                places.append((number, row, column))
                shapes.append(SHAPES.index(thing.shape))
                colours.append(tuple(COLOURS).index(thing.colour))
    centre = nn.functional.binary_cross_entropy_with_logits(maps[:, 0], wanted)
    number, row, column = torch.tensor(places).T
    shape, colour = maps[number, 1:, row, column].split([len(SHAPES), len(COLOURS)], dim=1)
    named = nn.functional.cross_entropy(shape, torch.tensor(shapes))
    named = named + nn.functional.cross_entropy(colour, torch.tensor(colours))
    return CENTRE_WEIGHT * centre + named
