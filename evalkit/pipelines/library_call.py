"""The arguments of a library pipeline's call, checked before any weights are loaded."""

import inspect
from typing import Any

from evalkit.errors import ModelError, listed, nearest
from evalkit.models import DiffusionModel

_SETTINGS = {  # arguments that have a setting of their own
    "num_inference_steps": "steps",
    "timesteps": "timesteps",
    "guidance_scale": "guidance",
    "negative_prompt": "negative_prompt",
    "strength": "strength",
    "width": "width",
    "height": "height",
}
_OURS = (  # arguments that this package gives itself, or that would change what comes back
    "prompt",
    "prompt_2",
    "prompt_3",
    "negative_prompt_2",
    "negative_prompt_3",
    "image",
    "generator",
    "latents",
    "num_images_per_prompt",
    "output_type",
    "return_dict",
)


def require_call(spec: DiffusionModel, kind: type, where: str) -> None:
    """ModelError where the call of the pipeline class `kind` does not take what `spec` says."""
    takes = inspect.signature(kind.__call__).parameters
    free = [
        name
        for name, parameter in takes.items()
        if name != "self" and parameter.kind != parameter.VAR_KEYWORD and not _is_ours(name)
    ]
    for key in spec.call_settings:
        if key in _SETTINGS:
            raise ModelError(
                f"{where}: call_settings: {key} has a setting of its own; give {_SETTINGS[key]}"
            )
        if _is_ours(key):
            raise ModelError(
                f"{where}: call_settings: {key} is given by evalkit itself; take it out"
            )
        if key not in free:
            raise ModelError(
                f'{where}: call_settings: unknown key "{key}"; {kind.__name__} takes '
                f"{listed(free)}{nearest(key, free)}"
            )
    for argument in ("strength", "timesteps", "negative_prompt"):
        if getattr(spec, argument) and argument not in takes:
            raise ModelError(
                f"{where}: {argument} is given, but {kind.__name__} takes none; take it back, or "
                "use another pipeline_class"
            )
    if spec.strength is None and "strength" in takes:
        raise ModelError(
            f"{where}: {kind.__name__} makes images from images; give a strength, or use another "
            "pipeline_class"
        )


def call_settings(spec: DiffusionModel, kind: type) -> dict[str, Any]:
    """The arguments of the call of `kind` that are the same for every image."""
    takes = inspect.signature(kind.__call__).parameters
    given: dict[str, Any] = {
        "num_inference_steps": spec.steps,
        "guidance_scale": spec.guidance,
    }
    for name in ("width", "height"):
        if name in takes:  # else the input image says it
            given[name] = getattr(spec, name)
    if spec.strength is not None:
        given["strength"] = spec.strength
    if spec.timesteps is not None:
        given["timesteps"] = list(spec.timesteps)
    if "intermediate_timesteps" in takes and spec.steps != 2:
        given["intermediate_timesteps"] = None  # Sana-Sprint's default is for two steps only
    return {**given, **spec.call_settings}


def _is_ours(name: str) -> bool:
    return name in _OURS or name in _SETTINGS or "embeds" in name or name.startswith("callback")
