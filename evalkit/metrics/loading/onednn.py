"""Linear layers of an open_clip model by oneDNN on a processor, where PyTorch would take MKL.

In float32 as before: the sums are the same but for the order in which they are added. MKL computes
at half of oneDNN's speed on processors that are not Intel's.
"""

from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn
from torch.nn.functional import scaled_dot_product_attention


def use_onednn(model: Any) -> None:
    """Replace, in place, the linear layers of the transformer blocks of a model in evaluation mode.

    Blocks of other kinds than open_clip's own of one width stay as they are, and so does all where
    PyTorch was built without oneDNN.
    """
    if not torch.backends.mkldnn.is_available():
        return
    for block in model.modules():
        if not isinstance(block, ResidualAttentionBlock) or hasattr(block, "ln_1_kv"):
            continue
        if block.attn.batch_first:
            block.attn = _SelfAttention(block.attn)
            for name, layer in list(block.mlp.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(block.mlp, name, _Linear(layer.weight, layer.bias))


class _Linear(nn.Module):
    """A linear layer whose weight lies as oneDNN wants it."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.empty(0, dtype=weight.dtype)  # open_clip asks it for its type
        self._packed = weight.detach().to_mkldnn()
        self._bias = bias.detach().to_mkldnn()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = torch._C._nn.mkldnn_linear(values.to_mkldnn(), self._packed, self._bias)
        return found.to_dense()


class _SelfAttention(nn.Module):
    """What `nn.MultiheadAttention` computes of one input, as open_clip's block calls it."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self._heads = attention.num_heads
        self._inwards = _Linear(attention.in_proj_weight, attention.in_proj_bias)
        self._outwards = _Linear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool,
        attn_mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, None]:
        n, length, width = query.shape
        parts = self._inwards(query).view(n, length, 3, self._heads, width // self._heads)
        mixed = scaled_dot_product_attention(*parts.permute(2, 0, 3, 1, 4), attn_mask)
        return self._outwards(mixed.transpose(1, 2).reshape(n, length, width)), None
