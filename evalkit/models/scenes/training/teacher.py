"""Stage teacher: the text-conditioned UNet and its text encoder, by v-prediction."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evalkit.models.scenes.training.checkpoints import save_checkpoint, seeded
from evalkit.models.scenes.training.loop import run_loop
from evalkit.models.scenes.training.networks import alphas_sigmas, build_text_encoder, build_unet
from evalkit.models.scenes.training.optimizers import Muon
from evalkit.models.scenes.training.ranks import average_gradients, own_share
from evalkit.models.scenes.training.rates import cosine_rate
from evalkit.models.scenes.training.tokenizer import load_tokenizer, tokenize

STAGE = 2
BATCH = 96
RATE = 2.5e-3
WARM_UP = 200
CONSTANT_SHARE = 0.4
CAPTION_DROPPED_SHARE = 0.1
EMA_DECAY = 0.9995


class Latents:
    """The training set in memory: latents and several captions for each."""

    def __init__(self, work: Path) -> None:
        self.latents = np.load(work / "latents.npy", mmap_mode="r")
        self.tokens = np.load(work / "tokens.npy", mmap_mode="r")
        self.empty = torch.from_numpy(
            tokenize(load_tokenizer(work / "tokenizer"), [""]).astype(np.int64)
        )

    def draw(
        self, size: int, random: torch.Generator, share: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A rank's share of a global batch: latents (n, 12, 12, 12) and token ids (n, 40)."""
        chosen = torch.randint(len(self.latents), (size,), generator=random)[share].numpy()
        wording = torch.randint(self.tokens.shape[1], (size,), generator=random)[share].numpy()
        latents = torch.from_numpy(self.latents[chosen].astype(np.float32))
        return latents, torch.from_numpy(self.tokens[chosen, wording].astype(np.int64))


@dataclass
class Networks:
    """UNet and text encoder that learn together."""

    unet: torch.nn.Module
    text: torch.nn.Module

    def parameters(self) -> list[torch.nn.Parameter]:
        """All parameters, in a fixed order."""
        return [*self.unet.parameters(), *self.text.parameters()]

    def state_dict(self) -> dict:
        """Both states."""
        return {"unet": self.unet.state_dict(), "text": self.text.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Take over both states."""
        self.unet.load_state_dict(state["unet"])
        self.text.load_state_dict(state["text"])


def build_teacher(work: Path) -> Networks:
    """An untrained UNet with the pre-trained text encoder."""
    torch.manual_seed(STAGE)
    text = build_text_encoder(len(load_tokenizer(work / "tokenizer")))
    text.load_state_dict(torch.load(work / "text.pt", weights_only=True))
    return Networks(build_unet(), text)


def load_teacher(work: Path) -> Networks:
    """The averaged weights of the finished teacher, frozen."""
    networks = build_teacher(work)
    networks.load_state_dict(torch.load(work / "teacher.pt", weights_only=True))
    for parameter in networks.parameters():
        parameter.requires_grad_(False)
    return networks


@torch.no_grad()
def follow(average: list[torch.Tensor], current: list[torch.Tensor], step: int) -> None:
    """Move averaged parameters towards the current ones, faster in the first steps."""
    decay = min(EMA_DECAY, (step + 1) / (step + 10))
    torch._foreach_lerp_(average, current, 1 - decay)


def even_parts(size: int, random: torch.Generator) -> torch.Tensor:
    """`size` numbers from 0 to 1, one from each of `size` equal parts, shuffled.

    Timesteps drawn so vary less from batch to batch than free draws.
    """
    return (torch.randperm(size, generator=random) + torch.rand(size, generator=random)) / size


def train_teacher(
    work: Path, rank: int, ranks: int, *, samples: int, stop_after: int | None = None
) -> None:
    """Train on `samples` noised latents and write `teacher.pt`."""
    steps = samples // BATCH
    learner = TeacherLearner(work, rank, ranks, steps)
    facts = {"steps": steps, "batch": BATCH, "rank": rank, "ranks": ranks}
    if run_loop(learner, work, "teacher", stop_after=stop_after, **facts):
        save_checkpoint(work / "teacher.pt", learner.average.state_dict())


class TeacherLearner:
    """UNet and text encoder, their running average, and the optimizer."""

    def __init__(self, work: Path, rank: int, ranks: int, steps: int) -> None:
        self.steps, self.ranks, self.share = steps, ranks, own_share(BATCH, rank, ranks)
        self.data, self.networks = Latents(work), build_teacher(work)
        self.average = copy.deepcopy(self.networks)
        self.weights = self.networks.parameters()
        unet, text = self.networks.unet, self.networks.text
        plain = [*unet.conv_in.parameters(), *unet.conv_out.parameters()]
        plain += [p for name, p in text.named_parameters() if "_embedding" in name]
        self.optimizer = Muon(self.weights, plain)

    def parts(self) -> dict:
        """Networks, their average, optimizer."""
        return {
            "networks": self.networks,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    def step(self, number: int) -> dict[str, float]:
        """One update on this rank's share of a batch."""
        loss = self._loss(seeded(STAGE, number))
        loss.backward()
        average_gradients(self.weights, self.ranks)
        rate = cosine_rate(number, self.steps, RATE, warm_up=WARM_UP, constant=CONSTANT_SHARE)
        self.optimizer.step(rate)
        follow(self.average.parameters(), self.weights, number)
        return {"loss": loss.item()}

    def _loss(self, random: torch.Generator) -> torch.Tensor:
        """Mean squared error of the predicted velocity."""
        signal, noise_level = alphas_sigmas()
        clean, ids = self.data.draw(BATCH, random, self.share)
        times = (even_parts(BATCH, random) * 1000).long().clamp(max=999)[self.share]
        noise = torch.randn((BATCH, *clean.shape[1:]), generator=random)[self.share]
        dropped = torch.rand(BATCH, generator=random) < CAPTION_DROPPED_SHARE
        ids = torch.where(dropped[self.share, None], self.data.empty, ids)
        a, s = signal[times][:, None, None, None], noise_level[times][:, None, None, None]
        with torch.autocast("cpu", torch.bfloat16):
            words = self.networks.text(ids).last_hidden_state
            velocity = self.networks.unet(a * clean + s * noise, times, words).sample
        return (velocity.float() - (a * noise - s * clean)).square().mean()
