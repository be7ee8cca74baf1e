"""BLIP's two encoders of transformers, filled from a checkpoint with BLIP's original names.

Sizes are read off the checkpoint's own tensors; a head of attention is 64 numbers wide in every
published size. Source: Li et al. (2022), BLIP, and its reference code.
"""

import re
from typing import Any

from evalkit.errors import ModelError
from evalkit.metrics.loading.library import loading
from evalkit.metrics.loading.tensors import fill

_HEAD_WIDTH = 64
_VISION, _TEXT = "blip.visual_encoder.", "blip.text_encoder."
_VISION_NAMES = (  # a pattern of the original name, and what stands for it in transformers
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^blocks\.", "encoder.layers."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"\.attn\.qkv\.", ".self_attn.qkv."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"^norm\.", "post_layernorm."),
)


def blip_encoders(tensors: dict[str, Any], name: str) -> tuple[Any, Any]:
    """The image encoder and the text encoder, which looks at the image too.

    Other tensors of the checkpoint are left. Raises ModelError where one of theirs is missing or
    has another shape; `name` is that of the weights.
    """
    from transformers import BlipTextModel, BlipVisionModel

    vision_tensors, text_tensors = part(tensors, _VISION), part(tensors, _TEXT)
    with loading(name):
        try:
            vision = BlipVisionModel(_vision_config(vision_tensors))
            text = BlipTextModel(_text_config(text_tensors), add_pooling_layer=False)
        except KeyError as error:
            raise ModelError(
                f'score: the weights "{name}" are no BLIP under its original names (there is no '
                f"{error.args[0]}); name the checkpoint that was made for this metric"
            ) from None
    renamed = {_vision_name(key): tensor for key, tensor in vision_tensors.items()}
    for model, given in ((vision, renamed), (text, text_tensors)):
        wanted = model.state_dict().keys()
        fill(model, {key: given[key] for key in wanted if key in given}, name)
    return vision, text


def part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The tensors whose names begin with `prefix`, without it."""
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }


def _vision_config(tensors: dict[str, Any]) -> Any:
    from transformers import BlipVisionConfig

    width, _, patch, _ = tensors["patch_embed.proj.weight"].shape
    patches = tensors["pos_embed"].shape[1] - 1  # the first position is that of the class token
    return BlipVisionConfig(
        hidden_size=width,
        intermediate_size=tensors["blocks.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_count(tensors, r"blocks\.(\d+)\."),
        num_attention_heads=width // _HEAD_WIDTH,
        image_size=patch * round(patches**0.5),
        patch_size=patch,
        layer_norm_eps=1e-6,  # as in the reference code; the library's default is another
    )


def _text_config(tensors: dict[str, Any]) -> Any:
    from transformers import BlipTextConfig

    words, width = tensors["embeddings.word_embeddings.weight"].shape
    crossed = tensors["encoder.layer.0.crossattention.self.key.weight"]
    return BlipTextConfig(
        vocab_size=words,
        hidden_size=width,
        encoder_hidden_size=crossed.shape[1],
        intermediate_size=tensors["encoder.layer.0.intermediate.dense.weight"].shape[0],
        num_hidden_layers=_count(tensors, r"encoder\.layer\.(\d+)\."),
        num_attention_heads=width // _HEAD_WIDTH,
        max_position_embeddings=tensors["embeddings.position_embeddings.weight"].shape[0],
        is_decoder=True,  # the library's word for: with attention to the image
    )


def _count(tensors: dict[str, Any], pattern: str) -> int:
    return len({found[1] for found in map(re.compile(pattern).match, tensors) if found})


def _vision_name(key: str) -> str:
    for pattern, name in _VISION_NAMES:
        key = re.sub(pattern, name, key)
    return key
