"""Tensors of a file by name, never its code; and a model filled with them, every one in place."""

import pickle
from typing import Any

from evalkit.errors import ModelError
from evalkit.metrics.loading.library import loading
from evalkit.metrics.loading.places import Place

_WRAPPED = "state_dict"  # under which training programs keep the tensors of a model


def read_tensors(place: Place) -> dict[str, Any]:
    """The tensors of a file, on the CPU; ModelError where it holds what would be run."""
    import safetensors.torch
    import torch

    with loading(place.name):
        if place.path.suffix == ".safetensors":
            return safetensors.torch.load_file(place.path)
        try:
            found = torch.load(place.path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise ModelError(
                f'score: the weights "{place.name}" hold more than tensors, or are damaged, and '
                "what else a file says is not run; use a .safetensors file of these weights"
            ) from None
    found = found.get(_WRAPPED, found) if isinstance(found, dict) else {}
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}


def fill(model: Any, tensors: dict[str, Any], name: str) -> None:
    """Give a model exactly these tensors; ModelError where one is missing, over, or misshapen."""
    wanted = {key: tensor.shape for key, tensor in model.state_dict().items()}
    given = {key: tensor.shape for key, tensor in tensors.items()}
    other = [key for key in {**wanted, **given} if wanted.get(key) != given.get(key)]
    if other:
        raise ModelError(
            f'score: the weights "{name}" do not fit the {type(model).__name__} of this metric (of '
            f"{len(wanted)} tensors {len(other)} differ, the first is {other[0]}); name the file "
            "that was made for it"
        )
    model.load_state_dict(tensors)


def ready(model: Any, device: str | None = None) -> Any:
    """The model for use: float32, no dropout, on `device` (None: the first CUDA device, if any)."""
    import torch

    return model.float().eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def device_of(model: Any) -> Any:
    """Where the model's tensors lie."""
    return next(model.parameters()).device
