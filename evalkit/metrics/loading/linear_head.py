"""The head that ends in one number: linear layers alone, as two of the published judges have it."""

import re
from collections import OrderedDict
from typing import Any

from evalkit.errors import ModelError
from evalkit.metrics.loading.tensors import fill

_WEIGHT = re.compile(r"layers\.(\d+)\.weight")


def linear_head(tensors: dict[str, Any], width: int, name: str) -> Any:
    """Linear layers one after the other, from `width` numbers to one, filled with these tensors.

    `tensors` are named `layers.N.weight` and `layers.N.bias`, with gaps where dropout stood in
    training. Raises ModelError where they are not such a chain; `name` is that of the weights.
    """
    from torch import nn

    places = sorted(int(found[1]) for found in map(_WEIGHT.fullmatch, tensors) if found)
    shapes = [tuple(tensors[f"layers.{place}.weight"].shape) for place in places]
    sizes = [width, *(shape[0] for shape in shapes)]
    if shapes != list(zip(sizes[1:], sizes, strict=False)) or sizes[-1] != 1:
        found = ", ".join(" x ".join(map(str, shape)) for shape in shapes) or "none"
        raise ModelError(
            f'score: the weights "{name}" are no head of linear layers from {width} numbers to one '
            f"(its layers are {found}); name the file that was made for this metric"
        )
    layers = zip(map(str, places), shapes, strict=True)
    head = nn.Sequential(
        OrderedDict((place, nn.Linear(into, out)) for place, (out, into) in layers)
    )
    fill(head, {key.removeprefix("layers."): tensor for key, tensor in tensors.items()}, name)
    return head
