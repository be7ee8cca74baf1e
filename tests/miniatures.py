"""Miniature checkpoints of the real library classes, saved in the layout that the hub has them in.

Each function writes one folder of random weights and returns it, so that a study file can name it
as a `repository`; `study_file` writes such a study. An image takes milliseconds on a CPU.
"""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
)

from evalkit.pipelines import Request
from evalkit.study_folder import StudyFolder

_TEXT_WIDTH = 32
_WORDS = 24  # positions of the text encoder
_BETAS = {"beta_start": 0.00085, "beta_end": 0.02, "beta_schedule": "scaled_linear"}


def study_file(
    root: Path,
    models: dict[str, dict[str, object]],
    *,
    prompts: tuple[str, ...] = ("a red cat", "two green dogs", "a house by the sea"),
    seeds: tuple[int, ...] = (0, 1),
) -> StudyFolder:
    """A study folder of these `[models.NAME]` tables with a prompt file and one question."""
    root.mkdir(parents=True)
    (root / "own.csv").write_text("prompt\n" + "".join(f'"{text}"\n' for text in prompts))
    lines = ['name = "mini"', "seed = 1", "[prompts]", 'source = "own.csv"']
    lines += ["[images]", f"seeds = {list(seeds)}", "viewing_size = 64"]
    for name, table in models.items():
        lines.append(f"[models.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    lines += ["[[questions]]", 'id = "quality"', 'text = "Which?"', "show_prompt = false"]
    (root / "study.toml").write_text("\n".join(lines) + "\n")
    return StudyFolder(root)


def small(catalogue: str, folder: Path, **changes: object) -> dict[str, object]:
    """The table of a catalogue entry whose checkpoint is the miniature in `folder`, 32x32."""
    table = {"catalogue": catalogue, "repository": str(folder), "width": 32, "height": 32}
    return {**table, **{key: str(v) if isinstance(v, Path) else v for key, v in changes.items()}}


def requests(prompts: list[str], seeds: list[int]) -> list[Request]:
    """The requests for these prompts with these seeds, one for one."""
    return [
        Request(f"p{number}", prompt, seed)
        for number, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))
    ]


def sdxl(folder: Path, seed: int = 0) -> Path:
    """SDXL, as its fp16 variant: two text encoders, AutoencoderKL with `force_upcast`, Euler."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionXLPipeline(
        vae=_kl_vae(),
        text_encoder=_text_encoder(CLIPTextModel),
        text_encoder_2=_text_encoder(CLIPTextModelWithProjection),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=_xl_unet(),
        scheduler=EulerDiscreteScheduler(**_BETAS, timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder, variant="fp16")
    return folder


def lcm_sdxl_unet(folder: Path, seed: int = 1) -> Path:
    """A UNet for `sdxl` with embedded guidance (`time_cond_proj_dim`), as LCM-XL publishes it."""
    torch.manual_seed(seed)
    _xl_unet(time_cond_proj_dim=16).half().save_pretrained(folder, variant="fp16")
    return folder


def lora_sdxl(folder: Path, seed: int = 2) -> Path:
    """A LoRA for the attention of `sdxl`, with weights that change the image."""
    torch.manual_seed(seed)
    unet = _xl_unet()
    unet.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    layers = get_peft_model_state_dict(unet)
    StableDiffusionXLPipeline.save_lora_weights(
        folder, unet_lora_layers={name: torch.randn_like(w) / 3 for name, w in layers.items()}
    )
    return folder


def scenes_base(folder: Path, seed: int = 3) -> Path:
    """The layout of the built-in family: AutoencoderTiny, v-prediction, DDIM, float16 files."""
    torch.manual_seed(seed)
    _sd_pipeline(
        vae=_tiny_vae(),
        scheduler=DDIMScheduler(
            **_BETAS,
            prediction_type="v_prediction",
            timestep_spacing="trailing",
            clip_sample=False,
            steps_offset=1,
        ),
    ).to(dtype=torch.float16).save_pretrained(folder)
    return folder


def scenes_unet(folder: Path, seed: int = 4, guided: bool = False) -> Path:
    """A UNet for `scenes_base` in the sub-folder `unet`; `guided`: with embedded guidance."""
    torch.manual_seed(seed)
    unet = _unet(time_cond_proj_dim=16 if guided else None)
    unet.half().save_pretrained(folder / "unet")
    return folder


def sd_turbo(folder: Path, seed: int = 5) -> Path:
    """Stable Diffusion 2 as its fp16 variant: AutoencoderKL, Euler, no safety checker."""
    torch.manual_seed(seed)
    pipeline = _sd_pipeline(
        vae=_kl_vae(), scheduler=EulerDiscreteScheduler(**_BETAS, steps_offset=1)
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder, variant="fp16")
    return folder


def filtered_sd(folder: Path, seed: int = 6) -> Path:
    """Stable Diffusion 1 with a safety checker that withholds every image."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        projection_dim=8,
    )
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(vision_config=vision.to_dict(), projection_dim=8)
    )
    checker.concept_embeds_weights.data.fill_(-2)  # a cosine is never below: all are withheld
    _sd_pipeline(
        vae=_kl_vae(),
        scheduler=EulerDiscreteScheduler(**_BETAS, steps_offset=1),
        safety_checker=checker,
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32),
        requires_safety_checker=True,
    ).save_pretrained(folder)
    return folder


def spoil(checkpoint: Path, bias: float) -> Path:
    """Add `bias` to the last layer of a KL checkpoint's VAE: nan, or so low that all is black."""
    vae = AutoencoderKL.from_pretrained(checkpoint / "vae", variant="fp16")
    vae.decoder.conv_out.bias.data.add_(bias)
    vae.save_pretrained(checkpoint / "vae", variant="fp16")
    return checkpoint


def _sd_pipeline(**parts: object) -> StableDiffusionPipeline:
    unfiltered = {
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    return StableDiffusionPipeline(
        text_encoder=_text_encoder(CLIPTextModel),
        tokenizer=_tokenizer(),
        unet=_unet(),
        **{**unfiltered, **parts},
    )


def _unet(**changes: object) -> UNet2DConditionModel:
    sizes = {
        "sample_size": 8,
        "block_out_channels": (16, 32),
        "norm_num_groups": 8,
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 8,
        "cross_attention_dim": _TEXT_WIDTH,
    }
    return UNet2DConditionModel(**{**sizes, **changes})


def _xl_unet(**changes: object) -> UNet2DConditionModel:
    return _unet(
        cross_attention_dim=2 * _TEXT_WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=_TEXT_WIDTH + 6 * 8,
        **changes,
    )


def _tiny_vae() -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    )


def _kl_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        force_upcast=True,
    )


def _text_encoder(kind: type) -> CLIPTextModel | CLIPTextModelWithProjection:
    return kind(
        CLIPTextConfig(
            vocab_size=len(_vocabulary()),
            hidden_size=_TEXT_WIDTH,
            projection_dim=_TEXT_WIDTH,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=_WORDS,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )


def _tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(vocab=_vocabulary(), merges=[], model_max_length=_WORDS)


def _vocabulary() -> dict[str, int]:
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    return {token: number for number, token in enumerate(tokens)}
