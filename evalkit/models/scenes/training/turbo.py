"""Stage turbo: one-step generator by score distillation and a feature discriminator (ADD, LADD)."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from evalkit.models.scenes.training.checkpoints import save_checkpoint, seeded
from evalkit.models.scenes.training.consistency import (
    GUIDANCE_WIDTH,
    guidance_embedding,
    guided_velocity,
)
from evalkit.models.scenes.training.loop import run_loop
from evalkit.models.scenes.training.networks import alphas_sigmas, build_unet
from evalkit.models.scenes.training.optimizers import Muon
from evalkit.models.scenes.training.ranks import average_gradients, own_share
from evalkit.models.scenes.training.rates import cosine_rate
from evalkit.models.scenes.training.teacher import (
    Latents,
    Networks,
    follow,
    load_teacher,
)

STAGE = 7
BATCH = 96
RATE = 4e-4
JUDGE_RATE = 1e-3
GUIDANCE = 4.0
TIMES = (999, 749, 499, 249)
TIME_SHARES = (0.5, 0.2, 0.15, 0.15)
DISTILLED_TIMES = (100, 950)
JUDGED_TIMES = (20, 700)
ADVERSARIAL_WEIGHT = 1.0
WARM_UP = 100
CONSTANT_SHARE = 0.4


def fold_guidance(consistency_state: dict[str, torch.Tensor]) -> nn.Module:
    """The consistency UNet at guidance 4, without the guidance input."""
    student = build_unet(time_cond_proj_dim=GUIDANCE_WIDTH)
    student.load_state_dict(consistency_state)
    embedding = student.time_embedding
    with torch.no_grad():
        shift = embedding.cond_proj(guidance_embedding(torch.tensor([GUIDANCE])))[0]
        embedding.linear_1.bias += embedding.linear_1.weight @ shift
    folded = build_unet()
    state = student.state_dict()
    state.pop("time_embedding.cond_proj.weight")
    folded.load_state_dict(state)
    return folded


class Judge(nn.Module):
    """Small heads on the frozen teacher's features that tell real latents from made ones."""

    def __init__(self, teacher: Networks) -> None:
        super().__init__()
        # A plain list keeps the teacher's weights out of the judge's parameters.
        self._teacher, self._features = [teacher], []
        unet = teacher.unet
        blocks = (*unet.down_blocks, unet.mid_block, *unet.up_blocks)
        for block in blocks:
            block.register_forward_hook(self._keep)
        self.heads = nn.ModuleList(_head(width) for width in (64, 96, 96, 96, 64))

    def _keep(self, block: nn.Module, inputs: object, output: object) -> None:
        self._features.append(output[0] if isinstance(output, tuple) else output)

    def features(
        self, noised: torch.Tensor, times: torch.Tensor, words: torch.Tensor
    ) -> list[torch.Tensor]:
        """The teacher's inner features of noised latents."""
        self._features = []
        self._teacher[0].unet(noised, times, words)
        return self._features

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Scores per place, shape (n, places); larger is more real."""
        scores = [head(part).flatten(1) for head, part in zip(self.heads, features, strict=True)]
        return torch.cat(scores, dim=1).float()


def _head(width: int) -> nn.Module:
    return nn.Sequential(
        nn.GroupNorm(8, width),
        nn.Conv2d(width, 48, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(48, 1, 1),
    )


class TurboLearner:
    """Student, its running average, the judge, and their optimizers."""

    def __init__(self, work: Path, rank: int, ranks: int, steps: int) -> None:
        self.steps, self.ranks, self.share = steps, ranks, own_share(BATCH, rank, ranks)
        self.data, self.teacher = Latents(work), load_teacher(work)
        torch.manual_seed(STAGE)
        self.student = fold_guidance(torch.load(work / "consistency.pt", weights_only=True))
        self.average = copy.deepcopy(self.student)
        self.judge = Judge(self.teacher)
        self.weights = list(self.student.parameters())
        self.judge_weights = list(self.judge.heads.parameters())
        plain = [*self.student.conv_in.parameters(), *self.student.conv_out.parameters()]
        self.optimizer = Muon(self.weights, plain)
        self.judge_optimizer = torch.optim.AdamW(
            self.judge_weights, lr=JUDGE_RATE, betas=(0.5, 0.99), weight_decay=0.0
        )

    def parts(self) -> dict:
        """Everything a resume needs."""
        return {
            "student": self.student,
            "average": self.average,
            "judge": self.judge.heads,
            "optimizer": self.optimizer,
            "judge_optimizer": self.judge_optimizer,
        }

    def step(self, number: int) -> dict[str, float]:
        """One update of student and judge on this rank's share of a batch."""
        random = seeded(STAGE, number)
        clean, ids = self.data.draw(BATCH, random, self.share)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            words = self.teacher.text(ids).last_hidden_state
            no_words = self.teacher.text(self.data.empty).last_hidden_state
        made = self._make(clean, words, random)
        pull, distance = self._distill(made.detach(), words, no_words, random)
        push, judge_loss = self._judge(made.detach(), clean, words, random)
        balance = ADVERSARIAL_WEIGHT * pull.norm() / (push.norm() + 1e-8)
        made.backward(pull + balance * push)
        average_gradients(self.weights, self.ranks)
        rate = cosine_rate(number, self.steps, RATE, warm_up=WARM_UP, constant=CONSTANT_SHARE)
        self.optimizer.step(rate)
        judge_loss.backward()
        average_gradients(self.judge_weights, self.ranks)
        self.judge_optimizer.step()
        self.judge_optimizer.zero_grad()
        follow(list(self.average.parameters()), self.weights, number)
        return {"distance": distance, "judge": judge_loss.item()}

    def _make(
        self, clean: torch.Tensor, words: torch.Tensor, random: torch.Generator
    ) -> torch.Tensor:
        """The student's clean latents from noised data, or from noise alone at the first step."""
        signal, noise_level = alphas_sigmas()
        shares = torch.tensor(TIME_SHARES)
        drawn = torch.multinomial(shares, BATCH, replacement=True, generator=random)[self.share]
        times = torch.tensor(TIMES)[drawn]
        noise = torch.randn((BATCH, *clean.shape[1:]), generator=random)[self.share]
        a, s = signal[times][:, None, None, None], noise_level[times][:, None, None, None]
        kept = torch.where((drawn == 0)[:, None, None, None], 0.0, a)
        noised = kept * clean + s * noise
        with torch.autocast("cpu", torch.bfloat16):
            velocity = self.student(noised, times, words).sample.float()
        return a * noised - s * velocity

    def _distill(
        self,
        made: torch.Tensor,
        words: torch.Tensor,
        no_words: torch.Tensor,
        random: torch.Generator,
    ) -> tuple[torch.Tensor, float]:
        """Gradient towards what the guided teacher makes of the noised latents, and its size."""
        times, noise, a, s = _noise_again(made, DISTILLED_TIMES, random, self.share)
        guidance = torch.full((len(made),), GUIDANCE)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            noised = a * made + s * noise
            v = guided_velocity(self.teacher, noised, times, words, no_words, guidance)
        gap = made - (a * noised - s * v)
        return a * gap / len(made), gap.square().mean().item()

    def _judge(
        self,
        made: torch.Tensor,
        clean: torch.Tensor,
        words: torch.Tensor,
        random: torch.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradient towards higher scores for made latents, and the judge's own hinge loss."""
        times, noise, a, s = _noise_again(made, JUDGED_TIMES, random, self.share)
        made = made.clone().requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            of_made = self.judge.features(a * made + s * noise, times, words)
            push = torch.autograd.grad(-self.judge(of_made).mean(1).sum() / len(made), made)[0]
            with torch.no_grad():
                real = a * clean + s * noise
                of_real = self.judge.features(real, times, words)
                of_wrong = self.judge.features(real, times, words.roll(1, dims=0))
            for_real = self.judge(of_real)
            for_made = self.judge([part.detach() for part in of_made])
            for_wrong = self.judge(of_wrong)
        loss = (1 - for_real).relu().mean()
        return push, loss + (1 + for_made).relu().mean() + 0.5 * (1 + for_wrong).relu().mean()


def _noise_again(
    made: torch.Tensor, between: tuple[int, int], random: torch.Generator, share: slice
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random timesteps, noise, and their amplitudes, for one share of a batch."""
    signal, noise_level = alphas_sigmas()
    times = torch.randint(*between, (BATCH,), generator=random)[share]
    noise = torch.randn((BATCH, *made.shape[1:]), generator=random)[share]
    return times, noise, signal[times][:, None, None, None], noise_level[times][:, None, None, None]


def train_turbo(
    work: Path, rank: int, ranks: int, *, samples: int, stop_after: int | None = None
) -> None:
    """Distil over `samples` latents and write `turbo.pt`."""
    steps = samples // BATCH
    learner = TurboLearner(work, rank, ranks, steps)
    facts = {"steps": steps, "batch": BATCH, "rank": rank, "ranks": ranks}
    if run_loop(learner, work, "turbo", stop_after=stop_after, **facts):
        save_checkpoint(work / "turbo.pt", learner.average.state_dict())
