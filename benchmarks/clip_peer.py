"""torchmetrics' CLIPScore with the weights of an open_clip model: the peer of evalkit's CLIP score.

torchmetrics takes a CLIP of transformers: the same tensors are put there under its names, and the
tokenizer is made of open_clip's own vocabulary. Nothing is fetched.
"""

from typing import Any

import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

_BLOCK = {  # of a layer: transformers' name, open_clip's
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_REST = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "logit_scale": "logit_scale",
}
_SPECIAL = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}


class PlainClip(CLIPModel):
    """A CLIP that gives embeddings as tensors: torchmetrics 1.9 knows no transformers 5."""

    def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Projected image embeddings."""
        return super().get_image_features(pixel_values).pooler_output

    def get_text_features(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """Projected text embeddings."""
        return super().get_text_features(input_ids, attention_mask).pooler_output


def peer(config: dict[str, Any], state: dict[str, torch.Tensor], tokenizer: Any, **pixels: Any):
    """torchmetrics' CLIPScore of an open_clip model's configuration and tensors.

    `pixels` are settings of transformers' image processor, such as the mean.
    """
    from torchmetrics.multimodal import CLIPScore

    model = PlainClip(_config(config)).eval()
    model.load_state_dict(_renamed(config, state))
    vocabulary = {_SPECIAL.get(word, word): place for word, place in tokenizer.encoder.items()}
    words = CLIPTokenizer(vocab=vocabulary, merges=list(tokenizer.bpe_ranks))
    processor = CLIPProcessor(_pixels(config, **pixels), words)
    return CLIPScore(lambda: (model, processor))


def _pixels(config: dict[str, Any], **pixels: Any) -> CLIPImageProcessor:
    side = config["vision_cfg"]["image_size"]
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size=side, **pixels)


def _config(config: dict[str, Any]) -> CLIPConfig:
    text, vision = config["text_cfg"], config["vision_cfg"]
    return CLIPConfig(
        text_config={
            **_tower(text["width"], text["layers"], text["heads"]),
            "vocab_size": text["vocab_size"],
            "max_position_embeddings": text["context_length"],
            "bos_token_id": 49406,
            "eos_token_id": 49407,
        },
        vision_config={
            **_tower(
                vision["width"], vision["layers"], vision["width"] // vision.get("head_width", 64)
            ),
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
        },
        projection_dim=config["embed_dim"],
    )


def _tower(width: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": "gelu",
    }


def _renamed(config: dict[str, Any], state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = {name: state[theirs] for name, theirs in _REST.items()}
    found["text_projection.weight"] = state["text_projection"].T
    found["visual_projection.weight"] = state["visual.proj"].T
    for tower, prefix in (("text", ""), ("vision", "visual.")):
        for layer in range(config[f"{tower}_cfg"]["layers"]):
            name = f"{tower}_model.encoder.layers.{layer}"
            theirs = f"{prefix}transformer.resblocks.{layer}"
            for kind in ("weight", "bias"):
                joined = state[f"{theirs}.attn.in_proj_{kind}"].chunk(3)
                for part, value in zip("qkv", joined, strict=True):
                    found[f"{name}.self_attn.{part}_proj.{kind}"] = value
                for own, other in _BLOCK.items():
                    found[f"{name}.{own}.{kind}"] = state[f"{theirs}.{other}.{kind}"]
    return {name: value.contiguous() for name, value in found.items()}
