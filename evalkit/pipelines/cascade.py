"""Pipelines one after another, as DeepFloyd IF: an image from the text, then larger and larger."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from diffusers.pipelines.deepfloyd_if.safety_checker import IFSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor

from evalkit.errors import ModelError, first_line
from evalkit.models import CascadeModel
from evalkit.models.kinds import Stage
from evalkit.pipelines.acceleration import accelerate
from evalkit.pipelines.autoencoder import autoencode_in, autoencoded_in
from evalkit.pipelines.checkpoints import commit, loading, locate, quiet, require_tokenizers
from evalkit.pipelines.devices import device_name, resolve_device, resolve_precision
from evalkit.pipelines.memory import (
    forget_frames,
    free_memory,
    is_out_of_memory,
    nothing_kept,
)
from evalkit.pipelines.noise import noise_seed
from evalkit.pipelines.pipeline import OutOfMemoryError, Rendered, Request
from evalkit.pipelines.tensors import finished
from evalkit.pipelines.versions import versions

_FIRST = "IFPipeline"
_PIXELS = "IFSuperResolutionPipeline"  # shares the text embeddings of the first stage
_LATENT = "StableDiffusionUpscalePipeline"  # reads the text itself


@dataclass(frozen=True)
class _Loaded:
    """A stage, the name of its library pipeline, and the pipeline."""

    stage: Stage
    kind: str
    pipeline: Any


class _SafetyChecker(IFSafetyChecker):
    """The library's, made ready as transformers 5 wants it (diffusers 0.42 misses the call)."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        self.post_init()


class SafetyFilter:
    """The safety filter of one stage: why it withholds an image."""

    def __init__(self, number: int, checker: IFSafetyChecker, extractor: Any) -> None:
        self._number, self._checker, self._extractor = number, checker, extractor

    def withheld(self, images: torch.Tensor) -> list[str]:
        """A reason for each of n x 3 x height x width in [0, 1]; empty where it is let pass."""
        pixels = images.permute(0, 2, 3, 1).cpu().numpy()
        shown = diffusers.DiffusionPipeline.numpy_to_pil(pixels)
        seen = self._extractor(shown, return_tensors="pt").pixel_values
        _, unsafe, watermarked = self._checker(
            images=pixels.copy(),  # it blackens what it finds
            clip_input=seen.to(self._checker.device, self._checker.dtype),
        )
        said = {(True, False): "unsafe", (False, True): "watermarked"}
        return [
            f"the safety filter of stage {self._number}: {said.get(flags, 'unsafe, watermarked')}"
            if any(flags)
            else ""
            for flags in zip(unsafe, watermarked, strict=True)
        ]


class CascadePipeline:
    """The stages of one CascadeModel; a `Pipeline`.

    As the model card of IF has it: the prompts are encoded once for the stages in pixels, images
    go from stage to stage without rounding, and the last one is looked at by the safety filter, its
    own or that of the nearest stage before it.
    """

    timed = True

    def __init__(
        self,
        spec: CascadeModel,
        stages: Sequence[_Loaded],
        safety: SafetyFilter | None,
        made_with: dict[str, Any],
    ) -> None:
        self._spec, self._stages, self._filter = spec, stages, safety
        self.made_with = made_with
        self._negative_embeds: torch.Tensor | None = None  # the same for every prompt

    def render(self, requests: Sequence[Request]) -> list[Rendered]:
        """One result per request, in order.

        Raises OutOfMemoryError where they do not fit into the memory at once, ModelError where the
        library refuses.
        """
        if not requests:
            return []
        where = f"models.{self._spec.name}"
        try:
            with quiet(), torch.no_grad():
                images = self._images(requests)
                reasons = self._filter.withheld(images) if self._filter else [""] * len(images)
                results = finished(images, [False] * len(images))
        except Exception as error:  # the library's own checks of the settings, in many kinds
            forget_frames(error)
            if is_out_of_memory(error):
                free_memory()
                raise OutOfMemoryError(
                    f"{where}: out of memory with {len(requests)} images in one call; lower the "
                    "batch size, or use a device with more"
                ) from error
            raise ModelError(
                f"{where}: the stages cannot make images with these settings "
                f"({first_line(error)}); correct them in study.toml"
            ) from error
        return [
            Rendered("filtered", reason=reason) if reason else result
            for result, reason in zip(results, reasons, strict=True)
        ]

    def close(self) -> None:
        """Give the device's memory back; the pipeline cannot render afterwards."""
        self._stages, self._filter, self._negative_embeds = (), None, None
        free_memory()

    def _images(self, requests: Sequence[Request]) -> torch.Tensor:
        """n x 3 x height x width numbers in [0, 1]."""
        prompts = [request.prompt for request in requests]
        generators = [
            torch.Generator("cpu").manual_seed(noise_seed(request.prompt, request.seed))
            for request in requests
        ]
        embeddings = self._embeddings(prompts)
        image = None  # in [-1, 1] between the stages
        for loaded in self._stages:
            call = {
                "num_inference_steps": loaded.stage.steps,
                "guidance_scale": loaded.stage.guidance,
                "generator": generators,
                "output_type": "pt",
            }
            if loaded.stage.noise_level is not None:
                call["noise_level"] = loaded.stage.noise_level
            if loaded.kind == _LATENT:
                # In [0, 1]: the library takes a batch without dark pixels in [-1, 1] for such.
                call |= {"image": _unit(image), "prompt": prompts, **self._negative(len(prompts))}
                image = loaded.pipeline(**call).images.float() * 2 - 1
            else:
                call |= embeddings if image is None else {**embeddings, "image": image}
                image = loaded.pipeline(**call).images
        return _unit(image)

    def _embeddings(self, prompts: list[str]) -> dict[str, torch.Tensor]:
        """The prompts as the text encoder of the first stage has them, each encoded once."""
        encode = self._stages[0].pipeline.encode_prompt
        distinct = list(dict.fromkeys(prompts))
        found, _ = encode(distinct, do_classifier_free_guidance=False)
        if self._negative_embeds is None:
            negative = [self._spec.negative_prompt]
            self._negative_embeds, _ = encode(negative, do_classifier_free_guidance=False)
        return {
            "prompt_embeds": found[[distinct.index(prompt) for prompt in prompts]],
            "negative_prompt_embeds": self._negative_embeds.expand(len(prompts), -1, -1),
        }

    def _negative(self, n: int) -> dict[str, Any]:
        text = self._spec.negative_prompt
        return {"negative_prompt": [text] * n} if text else {}


def load(spec: CascadeModel, device: str | None) -> CascadePipeline:
    """Load every stage; ModelError, one sentence, where one cannot be loaded or does not fit.

    What can be refused without weights is refused before they are fetched.
    """
    with nothing_kept():
        return _load(spec, resolve_device(device))


def _load(spec: CascadeModel, target: torch.device) -> CascadePipeline:
    started = time.perf_counter()
    where = f"models.{spec.name}"
    precision = resolve_precision(spec.precision, target)
    paths = [locate(stage.repository, where) for stage in spec.stages]
    indexes = [_index(stage, path, where) for stage, path in zip(spec.stages, paths, strict=True)]
    kinds = [index.get("_class_name", "folder without a pipeline") for index in indexes]
    check_kinds(spec, kinds, where)
    configs = [_sizing_config(*of, where) for of in zip(spec.stages, paths, kinds, strict=True)]
    check_size(spec, kinds, configs, where)
    pipelines, safety = [], None
    for number, (stage, path) in enumerate(zip(spec.stages, paths, strict=True), start=1):
        kind, index = kinds[number - 1], indexes[number - 1]
        with loading(stage.repository, where, device_name(target)):
            pipeline = _pipeline(stage, path, kind, getattr(torch, precision))
            require_tokenizers(pipeline, stage.repository, where)
            pipelines.append(pipeline.to(target))
            if _safety_checker(index) is not None:
                checker, extractor = _filter(stage, path, getattr(torch, precision))
                safety = SafetyFilter(number, checker.to(target), extractor)
    cascade = assemble(spec, pipelines, safety, target)
    cascade.made_with["commit"] = [
        commit(path, stage.revision, "model_index.json")
        for stage, path in zip(spec.stages, paths, strict=True)
    ]
    cascade.made_with["load_seconds"] = round(time.perf_counter() - started, 3)
    return cascade


def assemble(
    spec: CascadeModel,
    pipelines: Sequence[Any],
    safety: SafetyFilter | None,
    device: torch.device,
) -> CascadePipeline:
    """The library pipelines of the stages, on their device already, as the cascade of `spec`."""
    where = f"models.{spec.name}"
    precision = resolve_precision(spec.precision, device)
    vae_precision = resolve_precision(spec.vae_precision or precision, device)
    kinds = [type(pipeline).__name__ for pipeline in pipelines]
    stages = [_Loaded(*stage) for stage in zip(spec.stages, kinds, pipelines, strict=True)]
    for loaded in stages:
        loaded.pipeline.set_progress_bar_config(disable=True)
        with loading(loaded.stage.repository, where, memory=str(device)):
            if spec.vae_precision and loaded.kind == _LATENT:
                autoencode_in(loaded.pipeline, getattr(torch, vae_precision))
            layout = accelerate(loaded.pipeline, device, compiled=False, where=where)
    schedulers = [pipeline.scheduler for pipeline in pipelines]
    made_with = {
        "pipeline": " -> ".join(kinds),
        "device": str(device),
        "device_name": device_name(device),
        "precision": precision,
        "vae_precision": autoencoded_in(spec.vae_precision and vae_precision, precision),
        "scheduler": " -> ".join(type(scheduler).__name__ for scheduler in schedulers),
        "scheduler_config": [
            {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
            for scheduler in schedulers
        ],
        "memory_format": layout["memory_format"],
        "watermark": "none drawn: a visible one would tell annotators the model",
        "versions": versions("torch", "diffusers", "transformers", "safetensors"),
    }
    return CascadePipeline(spec, stages, safety, made_with)


def _index(stage: Stage, path: str, where: str) -> dict[str, Any]:
    """The classes of a checkpoint's parts; ModelError on a safety filter of another kind."""
    with loading(stage.repository, where):
        index = diffusers.DiffusionPipeline.load_config(path, revision=stage.revision)
    checker = _safety_checker(index)
    if checker not in (None, "IFSafetyChecker"):
        raise ModelError(
            f'{where}: "{stage.repository}" has the safety filter {checker}; allowed in a cascade '
            "is IFSafetyChecker, or none; name another checkpoint"
        )
    return index


def _sizing_config(stage: Stage, path: str, kind: str, where: str) -> dict[str, Any]:
    with loading(stage.repository, where):
        return diffusers.AutoModel.load_config(
            path, subfolder=sizing_part(kind), revision=stage.revision
        )


def _safety_checker(index: dict[str, Any]) -> str | None:
    return (index.get("safety_checker") or [None, None])[1]


def check_kinds(spec: CascadeModel, kinds: Sequence[str], where: str) -> None:
    """ModelError where a checkpoint is none that can stand in its place of a cascade."""
    for number, (stage, kind) in enumerate(zip(spec.stages, kinds, strict=True), start=1):
        allowed = (_FIRST,) if number == 1 else (_PIXELS, _LATENT)
        if kind not in allowed:
            raise ModelError(
                f'{where}: stage {number}, "{stage.repository}", is a {kind}; allowed there is '
                f"{' or '.join(allowed)}; name such a checkpoint"
            )
    if spec.vae_precision and _LATENT not in kinds:
        raise ModelError(
            f"{where}: vae_precision is given, but no stage has an autoencoder; take vae_precision "
            "back"
        )


def _pipeline(stage: Stage, path: str, kind: str, dtype: torch.dtype) -> Any:
    without = {"safety_checker": None, "feature_extractor": None, "watermarker": None}
    if kind == _PIXELS:
        without["text_encoder"] = None  # the first stage has the same
    return getattr(diffusers, kind).from_pretrained(
        path, revision=stage.revision, variant=stage.variant, dtype=dtype, **without
    )


def _filter(stage: Stage, path: str, dtype: torch.dtype) -> tuple[IFSafetyChecker, Any]:
    checker = _SafetyChecker.from_pretrained(
        path,
        subfolder="safety_checker",
        revision=stage.revision,
        variant=stage.variant,
        dtype=dtype,
    )
    extractor = CLIPImageProcessor.from_pretrained(
        path, subfolder="feature_extractor", revision=stage.revision
    )
    return checker, extractor


def check_size(
    spec: CascadeModel, kinds: Sequence[str], configs: Sequence[dict[str, Any]], where: str
) -> None:
    """ModelError where the last stage makes another size than the model is said to have.

    `configs` has the config of each stage's UNet, or of its autoencoder where it enlarges latents.
    """
    side = 0
    for kind, config in zip(kinds, configs, strict=True):
        if kind == _LATENT:
            factor = 2 ** (len(config["block_out_channels"]) - 1)
            side = side // factor * factor**2
        else:
            side = config["sample_size"]
    if (spec.width, spec.height) != (side, side):
        raise ModelError(
            f"{where}: its stages make images of {side}x{side} px, and width x height are "
            f"{spec.width}x{spec.height}; write width = {side} and height = {side}"
        )


def sizing_part(kind: str) -> str:
    """The part of a stage whose config says how large its image is."""
    return "vae" if kind == _LATENT else "unet"


def _unit(image: torch.Tensor) -> torch.Tensor:
    """From [-1, 1] to [0, 1], in float32: 16 bits would round what a stage hands on."""
    return (image.float() / 2 + 0.5).clamp(0, 1)
