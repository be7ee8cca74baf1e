"""Miniature checkpoints of the stages of DeepFloyd IF: 8 -> 16 -> 64 px, random weights.

The real library classes with the block types of the published checkpoints, saved in their layout.
"""

import json
import shutil
from pathlib import Path

import sentencepiece
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    IFPipeline,
    IFSuperResolutionPipeline,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.deepfloyd_if.safety_checker import IFSafetyChecker
from diffusers.pipelines.deepfloyd_if.watermark import IFWatermarker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextModel,
    CLIPVisionConfig,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from tests import miniatures

_WIDTH = 32  # of the text embeddings
_TEXTS = ["a red cat", "two green dogs", "a house by the sea"]
_TOKENS = 23  # as many as these texts give


def stage_one(folder: Path, seed: int = 20, flags: tuple[float, float] | None = None) -> Path:
    """IF-I: 8x8 px from text, with T5; `flags` as in `stage_two`."""
    torch.manual_seed(seed)
    IFPipeline(
        tokenizer=T5Tokenizer.from_pretrained(_published_tokenizer(folder)),
        text_encoder=_t5(),
        unet=_if_unet(sample_size=8, in_channels=3),
        scheduler=_if_scheduler(),
        watermarker=IFWatermarker(),
        requires_safety_checker=flags is not None,
        **_safety(flags),
    ).save_pretrained(folder)
    _published_tokenizer(folder)
    return folder


def stage_two(folder: Path, seed: int = 21, flags: tuple[float, float] | None = None) -> Path:
    """IF-II: 16x16 px from those of IF-I.

    `flags`: with a safety checker whose two answers, unsafe and watermarked, begin at these numbers
    (above 0.5 is yes, whatever the image, as its weights are nought); without: none.
    """
    torch.manual_seed(seed)
    IFSuperResolutionPipeline(
        tokenizer=T5Tokenizer.from_pretrained(_published_tokenizer(folder)),
        text_encoder=_t5(),
        unet=_if_unet(
            sample_size=16,
            in_channels=6,
            class_embed_type="timestep",
            mid_block_scale_factor=1.414,
            time_embedding_act_fn="gelu",
            time_embedding_dim=32,
            only_cross_attention=True,
        ),
        scheduler=_if_scheduler(),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        watermarker=IFWatermarker(),
        requires_safety_checker=flags is not None,
        **_safety(flags),
    ).save_pretrained(folder)
    _published_tokenizer(folder)
    return folder


def stage_three(folder: Path, seed: int = 22) -> Path:
    """The x4 upscaler: a latent model with CLIP, as stable-diffusion-x4-upscaler."""
    torch.manual_seed(seed)
    StableDiffusionUpscalePipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 8, 8),
            norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=4,
            scaling_factor=0.08333,
        ),
        text_encoder=miniatures._text_encoder(CLIPTextModel),
        tokenizer=miniatures._tokenizer(),
        unet=miniatures._unet(
            in_channels=7,
            out_channels=4,
            num_class_embeds=1000,
            only_cross_attention=(True, False),
            use_linear_projection=True,
        ),
        low_res_scheduler=DDPMScheduler(beta_schedule="scaled_linear"),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
    ).save_pretrained(folder)
    return folder


def _published_tokenizer(checkpoint: Path) -> Path:
    """Put the tokenizer as the published checkpoints have it: a SentencePiece file."""
    folder = checkpoint / "tokenizer"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXTS * 20),
        model_prefix=str(folder / "spiece"),
        vocab_size=_TOKENS,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.vocab").unlink()
    special = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "extra_ids": 0}
    config = {"tokenizer_class": "T5Tokenizer", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def _t5() -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=_TOKENS,
            d_model=_WIDTH,
            d_ff=32,
            d_kv=8,
            num_heads=4,
            num_layers=2,
            feed_forward_proj="gated-gelu",
        )
    )


def _if_unet(**changes: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **{
            "out_channels": 6,
            "layers_per_block": 1,
            "block_out_channels": (16, 32),
            "norm_num_groups": 8,
            "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
            "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            "cross_attention_dim": 32,
            "encoder_hid_dim": _WIDTH,
            "attention_head_dim": 8,
            "addition_embed_type": "text",
            "addition_embed_type_num_heads": 2,
            "cross_attention_norm": "group_norm",
            "resnet_time_scale_shift": "scale_shift",
            "act_fn": "gelu",
            **changes,
        }
    )


def _if_scheduler() -> DDPMScheduler:
    return DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        variance_type="learned_range",
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
        sample_max_value=1.5,
    )


def _safety(flags: tuple[float, float] | None) -> dict[str, object]:
    if flags is None:
        return {"safety_checker": None, "feature_extractor": None}
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        projection_dim=8,
    )
    checker = IFSafetyChecker(CLIPConfig(vision_config=vision.to_dict(), projection_dim=8))
    for head, flag in zip((checker.p_head, checker.w_head), flags, strict=True):
        head.weight.data.zero_()
        head.bias.data.fill_(flag)
    extractor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    return {"safety_checker": checker, "feature_extractor": extractor}
