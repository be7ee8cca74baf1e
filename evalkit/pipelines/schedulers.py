"""The scheduler of a model: the named one or the checkpoint's own, checked before any weights."""

import inspect
from typing import Any

import diffusers

from evalkit.errors import ModelError, listed, nearest
from evalkit.models import DiffusionModel
from evalkit.pipelines.turbo_scheduler import SUB_STEPS, TurboScheduler

_OURS = {kind.__name__: kind for kind in (TurboScheduler,)}


def scheduler_class(spec: DiffusionModel, own: str | None, where: str) -> type | None:
    """The class that `spec` names, or `own`, the checkpoint's; None where that is not known.

    Raises ModelError where the class is unknown, or cannot do what the spec says.
    """
    known = [*_OURS, *(name for name in dir(diffusers) if name.endswith("Scheduler"))]
    if spec.scheduler and spec.scheduler not in known:
        raise ModelError(
            f'{where}: unknown scheduler "{spec.scheduler}"; allowed are the schedulers of '
            f"diffusers, such as EulerDiscreteScheduler, and {listed(_OURS)}"
            f"{nearest(spec.scheduler, known)}"
        )
    name = spec.scheduler or own
    if name == "DPMSolverSDEScheduler":
        raise ModelError(
            f"{where}: {name} draws noise that the seed of an image does not decide; use another "
            "scheduler, such as DPMSolverMultistepScheduler"
        )
    kind = _OURS.get(name) or getattr(diffusers, name or "", None)
    if kind is not None:
        _require_settings(spec, kind, where)
        _require_steps(spec, kind, where)
    return kind


def with_settings(spec: DiffusionModel, own: Any) -> Any:
    """The scheduler of `spec`, with the noise schedule of the checkpoint's `own`."""
    if not spec.scheduler and not spec.scheduler_settings:
        return own
    kind = scheduler_class(spec, type(own).__name__, f"models.{spec.name}")
    return kind.from_config(own.config, **spec.scheduler_settings)


def _require_settings(spec: DiffusionModel, kind: type, where: str) -> None:
    allowed = [name for name in inspect.signature(kind.__init__).parameters if name != "self"]
    for key in spec.scheduler_settings:
        if key not in allowed:
            raise ModelError(
                f'{where}: scheduler_settings: unknown key "{key}"; {kind.__name__} has '
                f"{listed(allowed)}{nearest(key, allowed)}"
            )


def _require_steps(spec: DiffusionModel, kind: type, where: str) -> None:
    if kind is TurboScheduler and spec.steps > len(SUB_STEPS):
        raise ModelError(
            f"{where}: steps = {spec.steps} with TurboScheduler; allowed are 1 to "
            f"{len(SUB_STEPS)}; take fewer steps or another scheduler"
        )
    if spec.timesteps and "timesteps" not in inspect.signature(kind.set_timesteps).parameters:
        raise ModelError(
            f"{where}: timesteps are given, but {kind.__name__} takes none; take timesteps back, "
            "or give a scheduler that takes them, such as LCMScheduler"
        )
