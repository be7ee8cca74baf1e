"""How one kind of model makes images: one file per kind, the library imported only there."""

from collections.abc import Callable
from importlib import import_module

from evalkit.errors import ModelError
from evalkit.models import DiffusionModel, ModelSpec
from evalkit.pipelines.noise import NOISE, noise_seed
from evalkit.pipelines.pipeline import OutOfMemoryError, Pipeline, Rendered, Request

__all__ = [
    "NOISE",
    "OutOfMemoryError",
    "Pipeline",
    "Rendered",
    "Request",
    "load_pipeline",
    "noise_seed",
    "require_device",
]

_LOADERS: dict[type[ModelSpec], str] = {  # each module has load(spec, device)
    DiffusionModel: "evalkit.pipelines.diffusion",
}


def load_pipeline(spec: ModelSpec, device: str | None = None) -> Pipeline:
    """The model of `spec`, loaded on `device` (`cpu`, `cuda`, `cuda:N`, `mps`; None: the best one).

    Raises ModelError, one sentence, where a package, a checkpoint or the device is missing.
    """
    try:
        load: Callable[..., Pipeline] = import_module(_LOADERS[type(spec)]).load
    except ModuleNotFoundError as error:
        raise _not_installed(f"models.{spec.name}", error) from None
    return load(spec, device)


def require_device(device: str) -> None:
    """ModelError, one sentence, where the device (as in `load_pipeline`) is not there."""
    try:
        from evalkit.pipelines.devices import resolve_device
    except ModuleNotFoundError as error:
        raise _not_installed("device", error) from None
    resolve_device(device)


def _not_installed(where: str, error: ModuleNotFoundError) -> ModelError:
    return ModelError(
        f"{where}: the package {error.name} is not installed; images are made with it; "
        'run pip install "evalkit[generate]"'
    )
