"""Text-to-image models in the diffusers folder format, run by the library's own pipeline."""

import gc
import inspect
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from evalkit import __version__
from evalkit.errors import ModelError, first_line, listed, nearest
from evalkit.models import DiffusionModel
from evalkit.pipelines.checkpoints import commit, loading, locate
from evalkit.pipelines.devices import device_name, resolve_device, resolve_precision
from evalkit.pipelines.noise import noise_seed
from evalkit.pipelines.pipeline import OutOfMemoryError, Rendered, Request

_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors")


class DiffusionPipeline:
    """A library pipeline with the settings of one DiffusionModel; a `Pipeline`."""

    timed = True

    def __init__(self, spec: DiffusionModel, pipeline: Any, made_with: dict[str, Any]) -> None:
        self._spec = spec
        self._pipeline = pipeline
        self.made_with = made_with

    def render(self, requests: Sequence[Request]) -> list[Rendered]:
        """One result per request, in order; ModelError where the library refuses."""
        if not requests:
            return []
        prompts = [request.prompt for request in requests]
        generators = [
            torch.Generator("cpu").manual_seed(noise_seed(request.prompt, request.seed))
            for request in requests
        ]
        try:
            output = self._pipeline(
                prompt=prompts, generator=generators, output_type="np", **self._call(len(prompts))
            )
        except torch.OutOfMemoryError:
            raise OutOfMemoryError(
                f"models.{self._spec.name}: out of memory with {len(prompts)} images in one call; "
                "lower the batch size"
            ) from None
        except Exception as error:  # the library's own checks of the settings, in many kinds
            raise ModelError(
                f"models.{self._spec.name}: the checkpoint cannot make images with these settings "
                f"({first_line(error)}); correct them in study.toml"
            ) from error
        filtered = getattr(output, "nsfw_content_detected", None) or [False] * len(prompts)
        return [
            Rendered("filtered", reason="the checkpoint's safety filter") if flag else _image(array)
            for array, flag in zip(output.images, filtered, strict=True)
        ]

    def close(self) -> None:
        """Give the device's memory back; the pipeline cannot render afterwards."""
        del self._pipeline
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _call(self, n: int) -> dict[str, Any]:
        spec = self._spec
        call: dict[str, Any] = {
            "num_inference_steps": spec.steps,
            "guidance_scale": spec.guidance,
            "width": spec.width,
            "height": spec.height,
        }
        if spec.negative_prompt:  # SDXL takes "" otherwise than no negative prompt
            call["negative_prompt"] = [spec.negative_prompt] * n
        return call


def load(spec: DiffusionModel, device: str | None) -> DiffusionPipeline:
    """Load checkpoint, swapped UNet, LoRA and scheduler; ModelError, one sentence, on failure."""
    started = time.perf_counter()
    where = f"models.{spec.name}"
    target = resolve_device(device)
    path = locate(spec.repository, where)
    precision = resolve_precision(spec.precision, target)
    vae_precision = resolve_precision(spec.vae_precision or precision, target)
    pipeline = _load_checkpoint(spec, path, getattr(torch, precision), where)
    if spec.lora_repository:
        _fuse_lora(pipeline, spec, where)
    if spec.scheduler or spec.scheduler_settings:
        pipeline.scheduler = _scheduler(spec, pipeline.scheduler, where)
    if hasattr(pipeline, "watermark"):
        pipeline.watermark = None  # drawn only where a further package happens to be installed
    pipeline.set_progress_bar_config(disable=True)
    with loading(spec.repository, where):
        if spec.vae_precision:
            _decode_in(pipeline.vae, getattr(torch, vae_precision))
        pipeline.to(target)
    made_with = {
        "pipeline": type(pipeline).__name__,
        "device": str(target),
        "device_name": device_name(target),
        "precision": precision,
        # Without a precision of its own, some pipelines decode float16 in float32, others do not.
        "vae_precision": vae_precision if spec.vae_precision else f"library's for {precision}",
        "scheduler": type(pipeline.scheduler).__name__,
        "scheduler_config": _plain(pipeline.scheduler.config),
        **_commits(spec, path, where),
        "versions": _versions(),
        "load_seconds": round(time.perf_counter() - started, 3),
    }
    return DiffusionPipeline(spec, pipeline, made_with)


def _load_checkpoint(spec: DiffusionModel, path: str, dtype: torch.dtype, where: str) -> Any:
    parts = {}
    if spec.unet_repository:
        unet_path = locate(spec.unet_repository, where)
        with loading(spec.unet_repository, where):
            parts["unet"] = diffusers.UNet2DConditionModel.from_pretrained(
                unet_path,
                subfolder=spec.unet_subfolder,
                revision=spec.unet_revision,
                variant=spec.unet_variant,
                dtype=dtype,
            )
    with loading(spec.repository, where):
        return diffusers.AutoPipelineForText2Image.from_pretrained(
            path, revision=spec.revision, variant=spec.variant, dtype=dtype, **parts
        )


def _fuse_lora(pipeline: Any, spec: DiffusionModel, where: str) -> None:
    path = locate(spec.lora_repository, where)
    with loading(spec.lora_repository, where):
        pipeline.load_lora_weights(path, weight_name=spec.lora_file, revision=spec.lora_revision)
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()


def _scheduler(spec: DiffusionModel, own: Any, where: str) -> Any:
    """The named scheduler, or the checkpoint's own, with the checkpoint's noise schedule and the
    settings of the spec."""
    known = [name for name in dir(diffusers) if name.endswith("Scheduler")]
    if spec.scheduler and spec.scheduler not in known:
        raise ModelError(
            f'{where}: unknown scheduler "{spec.scheduler}"; allowed are the schedulers of '
            f"diffusers, such as EulerDiscreteScheduler{nearest(spec.scheduler, known)}"
        )
    kind = getattr(diffusers, spec.scheduler) if spec.scheduler else type(own)
    allowed = [name for name in inspect.signature(kind.__init__).parameters if name != "self"]
    for key in spec.scheduler_settings:
        if key not in allowed:
            raise ModelError(
                f'{where}: scheduler_settings: unknown key "{key}"; {kind.__name__} has '
                f"{listed(allowed)}{nearest(key, allowed)}"
            )
    with loading(kind.__name__, where):
        return kind.from_config(own.config, **spec.scheduler_settings)


def _commits(spec: DiffusionModel, path: str, where: str) -> dict[str, str | None]:
    """The commits that the parts were loaded from; None for a part that is a folder."""
    found = {"commit": commit(path, spec.revision, "model_index.json")}
    if spec.unet_repository:
        file = "/".join(filter(None, (spec.unet_subfolder, "config.json")))
        unet_path = locate(spec.unet_repository, where)
        found["unet_commit"] = commit(unet_path, spec.unet_revision, file)
    if spec.lora_repository:
        lora_path = locate(spec.lora_repository, where)
        found["lora_commit"] = commit(lora_path, spec.lora_revision, spec.lora_file)
    return found


def _decode_in(vae: Any, dtype: torch.dtype) -> None:
    """Let the VAE decode in a precision of its own.

    Library pipelines hand it latents in the precision of the UNet, and those of SDXL cast a
    float16 VAE to float32 and back at every call unless its config says otherwise.
    """
    decode = vae.decode

    def decode_cast(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return decode(latents.to(vae.dtype), *args, **kwargs)

    vae.to(dtype)
    vae.register_to_config(force_upcast=False)
    vae.decode = decode_cast


def _image(array: np.ndarray) -> Rendered:
    """RGB from height x width x 3 numbers in [0, 1]."""
    if not np.isfinite(array).all():
        return Rendered("failed", reason="pixels that are not finite numbers")
    if not array.any():
        return Rendered("failed", reason="all black")
    return Rendered("ok", Image.fromarray((array * 255).round().astype(np.uint8)))


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The settings in a scheduler's config, without the library's bookkeeping."""
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _versions() -> dict[str, str]:
    found = {"evalkit": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # peft: only LoRA needs it
            continue
    return found
