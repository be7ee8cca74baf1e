"""ImageReward in plain torch, straight from the published names of its tensors: a witness."""

import math

import torch
from torch.nn import functional

Tensors = dict[str, torch.Tensor]


def reward(
    tensors: Tensors, pixels: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The head's number, before it is standardised, for each image with its tokens."""
    seen = _see(_within(tensors, "blip.visual_encoder."), pixels)
    read = _read(_within(tensors, "blip.text_encoder."), tokens, mask, seen)[:, 0]
    for number in (0, 2, 4, 6, 7):
        read = _linear(tensors, f"mlp.layers.{number}", read)
    return read[:, 0]


def _see(tensors: Tensors, pixels: torch.Tensor) -> torch.Tensor:
    weight, bias = tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"]
    patches = functional.conv2d(pixels, weight, bias, stride=weight.shape[-1])
    patches = patches.flatten(2).transpose(1, 2)
    start = tensors["cls_token"].expand(len(patches), -1, -1)
    x = torch.cat([start, patches], dim=1) + tensors["pos_embed"]
    for block in ("blocks.0", "blocks.1"):
        y = _norm(tensors, f"{block}.norm1", x, 1e-6)
        query, key, value = _linear(tensors, f"{block}.attn.qkv", y).chunk(3, dim=-1)
        x = x + _linear(tensors, f"{block}.attn.proj", _attend(query, key, value, None))
        y = _norm(tensors, f"{block}.norm2", x, 1e-6)
        y = functional.gelu(_linear(tensors, f"{block}.mlp.fc1", y))
        x = x + _linear(tensors, f"{block}.mlp.fc2", y)
    return _norm(tensors, "norm", x, 1e-6)


def _read(
    tensors: Tensors, tokens: torch.Tensor, mask: torch.Tensor, seen: torch.Tensor
) -> torch.Tensor:
    x = tensors["embeddings.word_embeddings.weight"][tokens]
    x = x + tensors["embeddings.position_embeddings.weight"][: tokens.shape[1]]
    x = _norm(tensors, "embeddings.LayerNorm", x, 1e-12)
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        for attention, source, shown in (("attention", None, mask), ("crossattention", seen, None)):
            name = f"{layer}.{attention}"
            source = x if source is None else source
            query = _linear(tensors, f"{name}.self.query", x)
            key = _linear(tensors, f"{name}.self.key", source)
            value = _linear(tensors, f"{name}.self.value", source)
            y = _linear(tensors, f"{name}.output.dense", _attend(query, key, value, shown))
            x = _norm(tensors, f"{name}.output.LayerNorm", x + y, 1e-12)
        y = functional.gelu(_linear(tensors, f"{layer}.intermediate.dense", x))
        y = _linear(tensors, f"{layer}.output.dense", y)
        x = _norm(tensors, f"{layer}.output.LayerNorm", x + y, 1e-12)
    return x


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Attention of heads 64 wide; `mask` is 1 where a key may be looked at."""
    query, key, value = (x.unflatten(-1, (-1, 64)).transpose(1, 2) for x in (query, key, value))
    weights = query @ key.transpose(-1, -2) / math.sqrt(64)
    if mask is not None:
        weights = weights.masked_fill(mask[:, None, None, :] == 0, -math.inf)
    return (weights.softmax(-1) @ value).transpose(1, 2).flatten(2)


def _linear(tensors: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _norm(tensors: Tensors, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return functional.layer_norm(x, x.shape[-1:], weight, bias, eps)


def _within(tensors: Tensors, prefix: str) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
