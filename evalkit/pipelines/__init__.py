"""How one kind of model makes images: one file per kind, the library imported only there."""

from evalkit.errors import ModelError
from evalkit.models import ModelSpec
from evalkit.pipelines.noise import NOISE, noise_seed
from evalkit.pipelines.pipeline import Pipeline, Rendered

__all__ = ["NOISE", "Pipeline", "Rendered", "load_pipeline", "noise_seed"]


def load_pipeline(spec: ModelSpec, device: str | None = None) -> Pipeline:
    """The model of `spec`, loaded on `device` (`cpu`, `cuda`, `cuda:N`, `mps`; None: the best one).

    Raises ModelError, one sentence, where a package, a checkpoint or the device is missing.
    """
    try:
        from evalkit.pipelines.diffusion import load_diffusion
    except ModuleNotFoundError as error:
        raise ModelError(
            f"models.{spec.name}: the package {error.name} is not installed; images are made with "
            'it; run pip install "evalkit[generate]"'
        ) from None
    return load_diffusion(spec, device)
