"""Miniature checkpoints of further families, as `tests.miniatures` has them: one function each."""

import json
from pathlib import Path

import torch
from diffusers import (
    AmusedPipeline,
    AmusedScheduler,
    AutoencoderDC,
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PNDMScheduler,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UVit2DModel,
    VQModel,
)
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from tests import miniatures as mini

_T5_WIDTH = 64  # as wide as both text encoders of SD3 side by side


def sd15(folder: Path, seed: int = 10) -> Path:
    """Stable Diffusion 1.5 as its fp16 variant: epsilon, PNDM, 8 attention heads."""
    torch.manual_seed(seed)
    scheduler = PNDMScheduler(**mini._BETAS, skip_prk_steps=True, steps_offset=1)
    pipeline = mini._sd_pipeline(vae=mini._kl_vae(), scheduler=scheduler)
    pipeline.to(dtype=torch.float16).save_pretrained(folder, variant="fp16")
    return folder


def lora_sd15(folder: Path, seed: int = 11) -> Path:
    """A LoRA for the attention of `sd15`, with weights that change the image."""
    torch.manual_seed(seed)
    unet = mini._unet()
    unet.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    layers = get_peft_model_state_dict(unet)
    StableDiffusionPipeline.save_lora_weights(
        folder, unet_lora_layers={name: torch.randn_like(w) / 3 for name, w in layers.items()}
    )
    return folder


def sd2(folder: Path, prediction: str, seed: int = 12) -> Path:
    """Stable Diffusion 2: `v_prediction` (768 px) or `epsilon` (512 px), with DDIM."""
    torch.manual_seed(seed)
    scheduler = DDIMScheduler(
        **mini._BETAS, prediction_type=prediction, clip_sample=False, steps_offset=1
    )
    mini._sd_pipeline(vae=mini._kl_vae(), scheduler=scheduler).save_pretrained(folder)
    return folder


def xl_unet_weights(file: Path, seed: int = 13) -> Path:
    """The weights alone of a UNet for `sdxl`, as SDXL-Lightning (.safetensors) and DMD2 (.bin)."""
    torch.manual_seed(seed)
    weights = mini._xl_unet().half().state_dict()
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file(weights, file)
    else:
        torch.save(weights, file)
    return file


def flux(folder: Path, seed: int = 14, blocks: int = 2) -> Path:
    """FLUX.1-schnell: CLIP and T5, a transformer without embedded guidance, a flow scheduler.

    Its autoencoder has `blocks`, each but the first a factor of 2.
    """
    torch.manual_seed(seed)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=_T5_WIDTH,
        pooled_projection_dim=mini._TEXT_WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=_flow_vae(blocks),
        text_encoder=mini._text_encoder(CLIPTextModel),
        tokenizer=mini._tokenizer(),
        text_encoder_2=_t5(),
        tokenizer_2=_t5_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def sd3(folder: Path, seed: int = 15) -> Path:
    """Stable Diffusion 3.5: two CLIP text encoders and T5, a flow scheduler with a shift."""
    torch.manual_seed(seed)
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=_T5_WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=2 * mini._TEXT_WIDTH,
        out_channels=4,
        pos_embed_max_size=32,
        qk_norm="rms_norm",
    )
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_flow_vae(),
        text_encoder=mini._text_encoder(CLIPTextModelWithProjection),
        tokenizer=mini._tokenizer(),
        text_encoder_2=mini._text_encoder(CLIPTextModelWithProjection),
        tokenizer_2=mini._tokenizer(),
        text_encoder_3=_t5(),
        tokenizer_3=_t5_tokenizer(),
    ).save_pretrained(folder)
    return folder


def sana_sprint(folder: Path, seed: int = 16) -> Path:
    """SANA-Sprint: Gemma 2, a linear transformer with embedded guidance, AutoencoderDC, SCM."""
    torch.manual_seed(seed)
    SanaSprintPipeline(
        tokenizer=_gemma_tokenizer(),
        text_encoder=_gemma(),
        vae=_dc_vae(),
        transformer=_sana_transformer(guidance_embeds=True, qk_norm="rms_norm_across_heads"),
        scheduler=SCMScheduler(),
    ).save_pretrained(folder)
    return folder


def sana(folder: Path, seed: int = 18) -> Path:
    """SANA: as SANA-Sprint, with guidance by a second batch and a multistep flow scheduler."""
    torch.manual_seed(seed)
    SanaPipeline(
        tokenizer=_gemma_tokenizer(),
        text_encoder=_gemma(),
        vae=_dc_vae(),
        transformer=_sana_transformer(),
        scheduler=DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    ).save_pretrained(folder)
    return folder


def amused(folder: Path, seed: int = 17) -> Path:
    """aMUSEd: tokens of a VQ model, filled in by a transformer; CLIP."""
    torch.manual_seed(seed)
    transformer = UVit2DModel(
        hidden_size=16,
        cond_embed_dim=mini._TEXT_WIDTH,
        micro_cond_encode_dim=2,
        micro_cond_embed_dim=10,
        encoder_hidden_size=mini._TEXT_WIDTH,
        vocab_size=33,
        codebook_size=32,
        in_channels=16,
        block_out_channels=16,
        num_res_blocks=1,
        downsample=True,
        upsample=True,
        block_num_heads=2,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        sample_size=16,
    )
    vqvae = VQModel(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        num_vq_embeddings=32,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
    )
    vqvae.quantize.embedding.weight.data.normal_()  # the library's own are nearly the same
    AmusedPipeline(
        vqvae=vqvae,
        tokenizer=mini._tokenizer(),
        text_encoder=mini._text_encoder(CLIPTextModelWithProjection),
        transformer=transformer,
        scheduler=AmusedScheduler(mask_token_id=32),
    ).save_pretrained(folder)
    return folder


def renamed(checkpoint: Path, folder: Path, kind: str) -> Path:
    """The checkpoint under another name of its pipeline class; its parts are linked."""
    folder.mkdir(parents=True)
    for part in checkpoint.iterdir():
        if part.is_dir():
            (folder / part.name).symlink_to(part)
    index = json.loads((checkpoint / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": kind}))
    return folder


def _sana_transformer(**changes: object) -> SanaTransformer2DModel:
    return SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=16,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=16,
        sample_size=16,
        **changes,
    )


def _flow_vae(blocks: int = 2) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, *[16] * (blocks - 1)),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        latent_channels=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
    )


def _dc_vae() -> AutoencoderDC:
    return AutoencoderDC(
        latent_channels=4,
        attention_head_dim=8,
        encoder_block_types=("ResBlock", "ResBlock"),
        decoder_block_types=("ResBlock", "ResBlock"),
        encoder_block_out_channels=(8, 16),
        decoder_block_out_channels=(8, 16),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), ()),
        decoder_qkv_multiscales=((), ()),
        downsample_block_type="Conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )


def _t5() -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(_pieces()),
        d_model=_T5_WIDTH,
        d_kv=16,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config)


def _t5_tokenizer() -> T5TokenizerFast:
    pieces = [(piece, -float(number)) for number, piece in enumerate(_pieces())]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=512)


def _gemma() -> Gemma2Model:
    config = Gemma2Config(
        vocab_size=len(_gemma_vocabulary()),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=2048,
    )
    return Gemma2Model(config)


def _gemma_tokenizer() -> GemmaTokenizerFast:
    return GemmaTokenizerFast(vocab=_gemma_vocabulary(), merges=[], model_max_length=2048)


def _pieces() -> list[str]:
    return ["<pad>", "</s>", "<unk>", "\u2581", *(chr(code) for code in range(33, 127))]


def _gemma_vocabulary() -> dict[str, int]:
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *_pieces()[3:]]
    return {token: number for number, token in enumerate(tokens)}
