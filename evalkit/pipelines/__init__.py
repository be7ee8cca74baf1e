"""How one kind of model makes images: one file per kind, the library imported only there."""

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from evalkit.errors import ModelError
from evalkit.models import (
    CascadeModel,
    CommandModel,
    DiffusionModel,
    FunctionModel,
    ImportedModel,
    ModelSpec,
)
from evalkit.pipelines.noise import NOISE, noise_seed
from evalkit.pipelines.pipeline import OutOfMemoryError, Pipeline, Rendered, Request

__all__ = [
    "NOISE",
    "OutOfMemoryError",
    "Pipeline",
    "Rendered",
    "Request",
    "check",
    "count_gpus",
    "free_bytes",
    "load_pipeline",
    "noise_seed",
    "refuse_replaced",
    "require_device",
]

_LOADERS: dict[type[ModelSpec], str] = {  # each module has load(spec, device)
    DiffusionModel: "evalkit.pipelines.diffusion",
    CascadeModel: "evalkit.pipelines.cascade",
    ImportedModel: "evalkit.pipelines.imported",
    FunctionModel: "evalkit.pipelines.function",
    CommandModel: "evalkit.pipelines.command",
}
_CHECKED = (ImportedModel, FunctionModel, CommandModel)  # their modules have check(spec, requests)


def check(spec: ModelSpec, requests: Sequence[Request]) -> None:
    """ModelError for what can be known of a located model before any weights are loaded.

    Imported images are all there, decodable and of the right size; a function can be imported; a
    command's program is there. What a checkpoint lacks is known when it is loaded.
    """
    if isinstance(spec, _CHECKED):
        import_module(_LOADERS[type(spec)]).check(spec, requests)


def refuse_replaced(spec: ModelSpec, imported: Iterable[tuple[Request, str]]) -> None:
    """ModelError where images were imported from a file that has been replaced since.

    `imported` has the SHA-256 of the file of each then; of other kinds there are none.
    """
    if isinstance(spec, ImportedModel):
        import_module(_LOADERS[ImportedModel]).refuse_replaced(spec, imported)


def load_pipeline(spec: ModelSpec, device: str | None = None) -> Pipeline:
    """The model of `spec`, loaded on `device` (`cpu`, `cuda`, `cuda:N`, `mps`).

    None takes the first GPU of CUDA, or else the CPU; `mps` is taken only where it is named. The
    device is that of checkpoints; a function or a command chooses its own. Raises ModelError, one
    sentence, where a package, a checkpoint or the device is missing.
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


def free_bytes(pipeline: Pipeline) -> int | None:
    """Bytes that are free in the memory of the GPU that the model is on; None on other devices."""
    device = str(pipeline.made_with.get("device", "cpu"))
    if not device.startswith("cuda"):
        return None
    return import_module("evalkit.pipelines.devices").free_bytes(device)


def count_gpus() -> int:
    """How many GPUs this machine offers; 0 without the packages that use them."""
    try:
        return import_module("evalkit.pipelines.devices").count_gpus()
    except ModuleNotFoundError:
        return 0


def _not_installed(where: str, error: ModuleNotFoundError) -> ModelError:
    return ModelError(
        f"{where}: the package {error.name} is not installed; images are made with it; "
        'run pip install "evalkit[generate]"'
    )
