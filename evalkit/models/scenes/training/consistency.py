"""Stage consistency: distils the guided teacher into few steps, with guidance as an input (LCM)."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch

from evalkit.models.scenes.training.checkpoints import save_checkpoint, seeded
from evalkit.models.scenes.training.loop import run_loop
from evalkit.models.scenes.training.networks import alphas_sigmas, build_unet
from evalkit.models.scenes.training.optimizers import Muon
from evalkit.models.scenes.training.ranks import average_gradients, own_share
from evalkit.models.scenes.training.rates import cosine_rate
from evalkit.models.scenes.training.teacher import (
    Latents,
    Networks,
    even_parts,
    follow,
    load_teacher,
)

STAGE = 6
BATCH = 96
RATE = 1e-3
GRID = 25
STRIDE = 1000 // GRID
GUIDANCE_RANGE = (2.0, 6.0)
GUIDANCE_WIDTH = 256
TARGET_DECAY = 0.95
WARM_UP = 100
CONSTANT_SHARE = 0.3
HUBER = 1e-3


def guidance_embedding(guidance: torch.Tensor) -> torch.Tensor:
    """Sines and cosines of `guidance - 1`, as diffusers embeds it; shape (n, 256)."""
    half = GUIDANCE_WIDTH // 2
    scale = torch.exp(torch.arange(half) * -(np.log(10_000.0) / (half - 1)))
    angles = (guidance[:, None] - 1) * 1000.0 * scale
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def build_student(teacher: torch.nn.Module) -> torch.nn.Module:
    """The teacher's UNet with an input for guidance that does nothing yet."""
    student = build_unet(time_cond_proj_dim=GUIDANCE_WIDTH)
    student.load_state_dict(teacher.state_dict(), strict=False)
    torch.nn.init.zeros_(student.time_embedding.cond_proj.weight)
    return student


def train_consistency(
    work: Path, rank: int, ranks: int, *, samples: int, stop_after: int | None = None
) -> None:
    """Distil over `samples` latents and write `consistency.pt`."""
    steps = samples // BATCH
    learner = ConsistencyLearner(work, rank, ranks, steps)
    facts = {"steps": steps, "batch": BATCH, "rank": rank, "ranks": ranks}
    if run_loop(learner, work, "consistency", stop_after=stop_after, **facts):
        save_checkpoint(work / "consistency.pt", learner.average.state_dict())


class ConsistencyLearner:
    """Student, the slower target it agrees with, and the average that is kept."""

    def __init__(self, work: Path, rank: int, ranks: int, steps: int) -> None:
        self.steps, self.ranks, self.share = steps, ranks, own_share(BATCH, rank, ranks)
        self.data, self.teacher = Latents(work), load_teacher(work)
        torch.manual_seed(STAGE)
        self.student = build_student(self.teacher.unet)
        self.target = copy.deepcopy(self.student)
        self.average = copy.deepcopy(self.student)
        self.weights = list(self.student.parameters())
        plain = [*self.student.conv_in.parameters(), *self.student.conv_out.parameters()]
        self.optimizer = Muon(self.weights, plain)

    def parts(self) -> dict:
        """The three networks and the optimizer."""
        return {
            "student": self.student,
            "target": self.target,
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
        with torch.no_grad():
            torch._foreach_lerp_(list(self.target.parameters()), self.weights, 1 - TARGET_DECAY)
        follow(list(self.average.parameters()), self.weights, number)
        return {"loss": loss.item()}

    def _loss(self, random: torch.Generator) -> torch.Tensor:
        """Pseudo-Huber distance between the predictions at two neighbours of the time grid."""
        signal, noise_level = alphas_sigmas()
        clean, ids = self.data.draw(BATCH, random, self.share)
        point = (even_parts(BATCH, random) * GRID).long().clamp(max=GRID - 1)[self.share]
        noise = torch.randn((BATCH, *clean.shape[1:]), generator=random)[self.share]
        low, high = GUIDANCE_RANGE
        guidance = (low + (high - low) * torch.rand(BATCH, generator=random))[self.share]
        times = (point + 1) * STRIDE - 1
        earlier = (times - STRIDE).clamp(min=0)
        is_last = (point == 0)[:, None, None, None]
        a, s = signal[times][:, None, None, None], noise_level[times][:, None, None, None]
        a_next = torch.where(is_last, 1.0, signal[earlier][:, None, None, None])
        s_next = torch.where(is_last, 0.0, noise_level[earlier][:, None, None, None])
        noised, condition = a * clean + s * noise, guidance_embedding(guidance)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                words = self.teacher.text(ids).last_hidden_state
                no_words = self.teacher.text(self.data.empty).last_hidden_state
                v = guided_velocity(self.teacher, noised, times, words, no_words, guidance)
                stepped = a_next * (a * noised - s * v) + s_next * (a * v + s * noised)
                v_next = self.target(stepped, earlier, words, timestep_cond=condition).sample
                wanted = torch.where(is_last, stepped, a_next * stepped - s_next * v_next.float())
            velocity = self.student(noised, times, words, timestep_cond=condition).sample.float()
        error = a * noised - s * velocity - wanted
        return ((error.square() + HUBER**2).sqrt() - HUBER).mean()


def guided_velocity(
    teacher: Networks,
    noised: torch.Tensor,
    times: torch.Tensor,
    words: torch.Tensor,
    no_words: torch.Tensor,
    guidance: torch.Tensor,
) -> torch.Tensor:
    """The teacher's velocity under classifier-free guidance; `guidance` has shape (n,)."""
    n = len(noised)
    both = teacher.unet(
        torch.cat([noised, noised]),
        torch.cat([times, times]),
        torch.cat([words, no_words.expand(n, -1, -1)]),
    ).sample.float()
    with_words, without = both.chunk(2)
    return without + guidance[:, None, None, None] * (with_words - without)
