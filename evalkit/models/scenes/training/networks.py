"""The family's networks, untrained: text encoder, UNet, and how they are saved."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel

from evalkit.models.scenes.training.data import CELLS, CHANNELS
from evalkit.models.scenes.training.tokenizer import POSITIONS

TEXT_WIDTH = 96
NOISE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.020,
    "prediction_type": "v_prediction",
}


def build_text_encoder(vocabulary_size: int) -> CLIPTextModel:
    """A CLIP text model of two layers, width 96, 40 positions."""
    config = CLIPTextConfig(
        vocab_size=vocabulary_size,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=3,
        max_position_embeddings=POSITIONS,
        bos_token_id=vocabulary_size - 2,
        eos_token_id=vocabulary_size - 1,
        pad_token_id=vocabulary_size - 1,
    )
    config._attn_implementation = "eager"
    return CLIPTextModel(config)


def build_unet(**changes: Any) -> UNet2DConditionModel:
    """The UNet of 2.5 million parameters: 12x12 cells, cross-attention at 6x6."""
    unet = UNet2DConditionModel(
        sample_size=CELLS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(64, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=3,
        norm_num_groups=16,
        **changes,
    )
    # The fused attention of torch 2 has a slow bfloat16 backward pass on a CPU.
    unet.set_attn_processor(AttnProcessor())
    return unet


def sampling_scheduler() -> DDIMScheduler:
    """DDIM with trailing steps, as the teacher is sampled."""
    return DDIMScheduler(
        **NOISE, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing"
    )


def alphas_sigmas() -> tuple[torch.Tensor, torch.Tensor]:
    """Signal and noise amplitude of each of the 1000 timesteps, float32, shape (1000,)."""
    kept = sampling_scheduler().alphas_cumprod
    return kept.sqrt().float(), (1 - kept).sqrt().float()
