"""Stage codec: the decoder that turns PCA latents into crisp pictures, and its linear encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny

from evalkit.models.scenes.drawing import draw_picture
from evalkit.models.scenes.training.checkpoints import save_checkpoint, seeded
from evalkit.models.scenes.training.data import CHANNELS, encode, load_pca
from evalkit.models.scenes.training.examples import training_scene
from evalkit.models.scenes.training.loop import run_loop
from evalkit.models.scenes.training.rates import cosine_rate, set_rate

STAGE = 3
WIDTH = 48
BATCH = 8
SCENES_READ = 12_000
STEPS = 4_000
RATE = 2e-3
LATENT_NOISE = 0.16
ENCODER_STEPS = 800
ENCODER_RATE = 3e-3


def build_codec() -> AutoencoderTiny:
    """AutoencoderTiny with 12 latent channels; its encoder is a chain of plain convolutions."""
    return AutoencoderTiny(
        latent_channels=CHANNELS,
        encoder_block_out_channels=(WIDTH,) * 4,
        decoder_block_out_channels=(WIDTH,) * 4,
        num_encoder_blocks=(0, 0, 0, 0),
        num_decoder_blocks=(3, 2, 1, 0),
        scaling_factor=1.0,
    )


def draw_pictures(indices: np.ndarray) -> np.ndarray:
    """Training pictures by number, uint8, shape (n, 96, 96, 3)."""
    return np.stack([np.asarray(draw_picture(training_scene(int(i)))) for i in indices])


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 pictures to float32 in -1 to 1, channels first."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_codec(work: Path, steps: int = STEPS, stop_after: int | None = None) -> None:
    """Train decoder, then encoder, and write `codec.pt`."""
    learner = DecoderLearner(work, steps)
    if run_loop(learner, work, "codec", steps=steps, batch=BATCH, stop_after=stop_after):
        fit_encoder(learner.codec, learner.pca)
        save_checkpoint(work / "codec.pt", learner.codec.state_dict())


class DecoderLearner:
    """The decoder, on slightly noised PCA latents."""

    def __init__(self, work: Path, steps: int) -> None:
        self.steps, self.pca = steps, load_pca(work)
        torch.manual_seed(STAGE)
        self.codec = build_codec()
        self.weights = list(self.codec.decoder.parameters())
        self.optimizer = torch.optim.AdamW(self.weights, lr=RATE, weight_decay=0.0)

    def parts(self) -> dict:
        """Codec and optimizer."""
        return {"codec": self.codec, "optimizer": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """One update on a batch of pictures."""
        set_rate(self.optimizer, cosine_rate(number, self.steps, RATE, warm_up=100))
        loss = self._loss(seeded(STAGE, number))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        return {"loss": loss.item()}

    def _loss(self, random: torch.Generator) -> torch.Tensor:
        """L1 + half MSE + half L1 of the gradients."""
        pictures = draw_pictures(torch.randint(SCENES_READ, (BATCH,), generator=random).numpy())
        latents, wanted = torch.from_numpy(encode(pictures, self.pca)), to_tensor(pictures)
        level = LATENT_NOISE * torch.rand(BATCH, 1, 1, 1, generator=random)
        latents = latents + level * torch.randn(latents.shape, generator=random)
        with torch.autocast("cpu", torch.bfloat16):
            made = self.codec.decoder(latents)
        error = made.float() - wanted
        edges = error.diff(dim=3).abs().mean() + error.diff(dim=2).abs().mean()
        return error.abs().mean() + 0.5 * error.square().mean() + 0.5 * edges


def fit_encoder(codec: AutoencoderTiny, pca: dict[str, np.ndarray]) -> None:
    """Regress the encoder's convolutions on the PCA latents."""
    optimizer = torch.optim.AdamW(codec.encoder.parameters(), lr=ENCODER_RATE, weight_decay=0.0)
    for step in range(ENCODER_STEPS):
        set_rate(optimizer, cosine_rate(step, ENCODER_STEPS, ENCODER_RATE, warm_up=1))
        random = seeded(STAGE, 5_000_000 + step)
        pictures = draw_pictures(torch.randint(SCENES_READ, (BATCH,), generator=random).numpy())
        made = codec.encode(to_tensor(pictures)).latents
        loss = (made - torch.from_numpy(encode(pictures, pca))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"codec encoder error {loss.item():.4f}", flush=True)


@torch.no_grad()
def measure(codec: AutoencoderTiny, pca: dict[str, np.ndarray], first: int = 90_000) -> float:
    """Peak signal-to-noise ratio of unseen pictures through PCA and decoder, in decibels."""
    pictures = draw_pictures(np.arange(first, first + 64))
    made = codec.decode(torch.from_numpy(encode(pictures, pca))).sample.clamp(-1, 1)
    error = (made - to_tensor(pictures)).square().mean().item()
    return float(10 * np.log10(4 / error))
