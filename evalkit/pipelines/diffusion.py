"""Models that run in one library pipeline of the diffusers folder format."""

import functools
import inspect
import time
from collections.abc import Sequence
from typing import Any

import diffusers
import torch

from evalkit.errors import ModelError, first_line
from evalkit.models import DiffusionModel
from evalkit.pipelines.acceleration import accelerate
from evalkit.pipelines.autoencoder import autoencode_in, autoencoded_in
from evalkit.pipelines.checkpoints import loading, quiet
from evalkit.pipelines.conditioning import Conditioning
from evalkit.pipelines.devices import device_name, resolve_device, resolve_precision
from evalkit.pipelines.library_call import call_settings
from evalkit.pipelines.loading import load_library_pipeline, part_commits
from evalkit.pipelines.memory import (
    forget_frames,
    free_memory,
    is_out_of_memory,
    nothing_kept,
)
from evalkit.pipelines.noise import noise_seed
from evalkit.pipelines.pipeline import OutOfMemoryError, Rendered, Request
from evalkit.pipelines.tensors import finished, fitted_input
from evalkit.pipelines.versions import versions

_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors")


class DiffusionPipeline:
    """A library pipeline with the settings of one DiffusionModel; a `Pipeline`.

    `library` is the pipeline of diffusers itself.
    """

    timed = True

    def __init__(self, spec: DiffusionModel, library: Any, made_with: dict[str, Any]) -> None:
        self._spec = spec
        self._where = f"models.{spec.name}"
        self._conditioning = Conditioning(library, spec)
        self._settings = call_settings(spec, type(library))
        self.library = library
        self.made_with = made_with
        self._drawn_from: list[torch.Generator] = []
        self._seed_the_scheduler()

    def render(self, requests: Sequence[Request]) -> list[Rendered]:
        """One result per request, in order.

        Raises OutOfMemoryError where they do not fit into the memory at once, ModelError where the
        library refuses.
        """
        if not requests:
            return []
        if isinstance(self.library.scheduler, diffusers.AmusedScheduler):
            # It draws from one generator for all: alone, an image has the noise of its own.
            return [self._called([request])[0] for request in requests]
        return self._called(requests)

    def encode(self, prompts: list[str]) -> dict[str, Any]:
        """The prompts as arguments of `library`'s call; each distinct one is encoded, every time.

        `render` does not encode the prompts of the batch before again.
        """
        return self._conditioning.encode(prompts)

    def close(self) -> None:
        """Give the device's memory back; the pipeline cannot render afterwards."""
        del self.library, self._conditioning
        free_memory()

    def _called(self, requests: Sequence[Request]) -> list[Rendered]:
        images = self._input_images(requests)
        self._drawn_from = _generators(requests)
        try:
            with quiet():
                output = self.library(
                    **self._conditioning.of_batch([request.prompt for request in requests]),
                    **images,
                    **self._settings,
                    generator=_one_or_all(self._drawn_from),
                    output_type="pt",
                )
                self._require_size(output.images)
                withheld = getattr(output, "nsfw_content_detected", None)
                return finished(output.images, withheld or [False] * len(requests))
        except ModelError:
            raise
        except Exception as error:  # the library's own checks of the settings, in many kinds
            forget_frames(error)
            self._conditioning.forget()
            if is_out_of_memory(error):
                free_memory()
                raise OutOfMemoryError(
                    f"{self._where}: out of memory with {len(requests)} images of "
                    f"{self._spec.width}x{self._spec.height} in one call; lower the batch size, or "
                    "use a device with more"
                ) from error
            raise ModelError(
                f"{self._where}: the checkpoint cannot make images with these settings "
                f"({first_line(error)}); correct them in study.toml"
            ) from error

    def _input_images(self, requests: Sequence[Request]) -> dict[str, Any]:
        spec = self._spec
        if not spec.takes_image:
            return {}
        size = spec.width, spec.height
        return {"image": [fitted_input(request, *size, self._where) for request in requests]}

    def _seed_the_scheduler(self) -> None:
        """Let a step draw from the generators of the images, of which FLUX and SD3 do not tell."""
        step = self.library.scheduler.step
        if "generator" not in inspect.signature(step).parameters:
            return

        @functools.wraps(step)
        def seeded(*args: Any, **kwargs: Any) -> Any:
            return step(*args, **{"generator": _one_or_all(self._drawn_from), **kwargs})

        self.library.scheduler.step = seeded

    def _require_size(self, images: torch.Tensor) -> None:
        height, width = images.shape[-2:]
        if (width, height) != (self._spec.width, self._spec.height):
            raise ModelError(
                f"{self._where}: asked for {self._spec.width}x{self._spec.height} px the "
                f"checkpoint makes {width}x{height} px; give a width and height that it can make"
            )


def _generators(requests: Sequence[Request]) -> list[torch.Generator]:
    return [
        torch.Generator("cpu").manual_seed(noise_seed(request.prompt, request.seed))
        for request in requests
    ]


def _one_or_all(generators: list[torch.Generator]) -> torch.Generator | list[torch.Generator]:
    """For one image the generator itself: some schedulers know no list."""
    return generators[0] if len(generators) == 1 else generators


def load(spec: DiffusionModel, device: str | None) -> DiffusionPipeline:
    """Load the checkpoint and its replaced parts; ModelError, one sentence, on failure."""
    with nothing_kept():
        return _load(spec, resolve_device(device))


def _load(spec: DiffusionModel, target: torch.device) -> DiffusionPipeline:
    started = time.perf_counter()
    library = load_library_pipeline(spec, computed_in(spec, target))
    made_with = {**equip(spec, library, target), **part_commits(spec)}
    made_with["load_seconds"] = round(time.perf_counter() - started, 3)
    return DiffusionPipeline(spec, library, made_with)


def computed_in(spec: DiffusionModel, device: torch.device) -> torch.dtype:
    """What the model computes in on a device."""
    return getattr(torch, resolve_precision(spec.precision, device))


def equip(spec: DiffusionModel, library: Any, device: torch.device) -> dict[str, Any]:
    """Put `library` on its device, as fast as it is there; gives what `made_with` says of it."""
    where = f"models.{spec.name}"
    precision = resolve_precision(spec.precision, device)
    vae_precision = resolve_precision(spec.vae_precision or precision, device)
    if hasattr(library, "watermark"):
        library.watermark = None  # drawn only where a further package happens to be installed
    library.set_progress_bar_config(disable=True)
    with loading(spec.repository, where, memory=str(device)):
        if spec.vae_precision:
            autoencode_in(library, getattr(torch, vae_precision))
        library.to(device)
        _fix_device(library, device)
        accelerated = accelerate(library, device, spec.compile, where)
    return {
        "pipeline": type(library).__name__,
        "device": str(device),
        "device_name": device_name(device),
        "precision": precision,
        "vae_precision": autoencoded_in(spec.vae_precision and vae_precision, precision),
        "scheduler": type(library.scheduler).__name__,
        "scheduler_config": _plain(library.scheduler.config),
        **accelerated,
        "versions": versions(*_LIBRARIES),
    }


def _fix_device(library: Any, device: torch.device) -> None:
    """Let `library` know where it runs.

    Else it asks every module of every part, twice in a call: for SDXL 8 ms each time, in which a
    GPU waits that needs hardly longer for the image.
    """
    kind = type(library)
    known = {"_execution_device": device, "__module__": kind.__module__}
    library.__class__ = type(kind.__name__, (kind,), known)


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The settings in a scheduler's config, without the library's bookkeeping."""
    return {key: value for key, value in config.items() if not key.startswith("_")}
