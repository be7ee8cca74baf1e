"""Settings that make the architectures small: the same classes and kinds of blocks."""

import copy

from evalkit.models import CATALOGUE


def shrunk(architecture: dict, **parts: dict) -> dict:
    """The architecture with other settings of its parts."""
    small = copy.deepcopy(architecture)
    for name, config in parts.items():
        small["parts"][name]["config"] |= config
    return small


CLIP = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
VAE = {"block_out_channels": [8, 16], "norm_num_groups": 4}
VAE |= {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
UNET = {
    "block_out_channels": [16, 32, 32, 32],
    "norm_num_groups": 8,
    "attention_head_dim": [2, 4, 4, 4],
    "cross_attention_dim": 32,
    "layers_per_block": 1,
}
VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
VISION |= {"num_attention_heads": 2, "patch_size": 14}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 4}
SMALL_CLIP = CLIP | {"num_attention_heads": 4}
OTHERS = {
    "sd-turbo": {"unet": UNET, "vae": VAE, "text_encoder": SMALL_CLIP},
    "sd-2-1": {"unet": UNET, "vae": VAE, "text_encoder": SMALL_CLIP},
    "sd-1-5": {
        "unet": UNET,
        "vae": VAE,
        "text_encoder": SMALL_CLIP,
        "safety_checker": {
            "projection_dim": 8,
            "vision_config": VISION | {"num_attention_heads": 2},
        },
    },
    "flux-schnell": {
        "transformer": {
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 32,
            "axes_dims_rope": [4, 4, 8],
        },
        "vae": VAE,
        "text_encoder": SMALL_CLIP,
        "text_encoder_2": T5,
    },
    "sd-3-5-large-turbo": {
        "transformer": {
            "num_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 64,
            "caption_projection_dim": 32,
            "pooled_projection_dim": 64,
        },
        "vae": VAE,
        "text_encoder": SMALL_CLIP | {"projection_dim": 32},
        "text_encoder_2": SMALL_CLIP | {"projection_dim": 32},
        "text_encoder_3": T5 | {"d_model": 64},
    },
    "sana-sprint": {
        "transformer": {
            "num_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "num_cross_attention_heads": 2,
            "cross_attention_head_dim": 16,
            "cross_attention_dim": 32,
            "caption_channels": 32,
        },
        "vae": {
            side + name: value
            for side in ("encoder_", "decoder_")
            for name, value in {
                "block_types": ["ResBlock"] * 5 + ["EfficientViTBlock"],
                "block_out_channels": [4, 4, 8, 8, 16, 32],
                "layers_per_block": [1] * 6,
                "qkv_multiscales": [[]] * 5 + [[5]],
            }.items()
        }
        | {"attention_head_dim": 16},
        "text_encoder": {
            "vocab_size": 8,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
        },
    },
    "amused-512": {
        "transformer": {
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "block_out_channels": 32,
            "block_num_heads": 2,
            "in_channels": 32,
            "num_res_blocks": 1,
            "cond_embed_dim": 32,
            "encoder_hidden_size": 32,
            "micro_cond_encode_dim": 8,
            "micro_cond_embed_dim": 40,
        },
        "vqvae": VAE | {"latent_channels": 8},
        "text_encoder": SMALL_CLIP | {"projection_dim": 32},
    },
}
IF = tuple(stage["repository"] for stage in CATALOGUE["deepfloyd-if"]["stages"])
IF_UNET = {
    "norm_num_groups": 8,
    "attention_head_dim": 8,
    "cross_attention_dim": 32,
    "encoder_hid_dim": 32,
    "addition_embed_type_num_heads": 2,
}
STAGE_PARTS = {
    IF[0]: {
        "unet": IF_UNET
        | {"sample_size": 8, "block_out_channels": [16, 32, 32, 32], "layers_per_block": 1},
        "text_encoder": T5,
    },
    IF[1]: {
        "unet": IF_UNET
        | {
            "sample_size": 16,
            "block_out_channels": [16, 16, 16, 32, 32],
            "layers_per_block": [1, 1, 1, 1, 1],
            "time_embedding_dim": 32,
        },
        "safety_checker": {"projection_dim": 8, "vision_config": VISION | {"projection_dim": 8}},
    },
    IF[2]: {
        "unet": UNET,
        "vae": {"block_out_channels": [8, 8, 16], "norm_num_groups": 4},
        "text_encoder": SMALL_CLIP,
    },
}
