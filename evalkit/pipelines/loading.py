"""A library pipeline with the weights of one DiffusionModel; every failure is one sentence."""

import inspect
import pickle
from pathlib import Path
from typing import Any

import accelerate
import diffusers
import safetensors.torch
import torch

from evalkit.errors import ModelError, listed, nearest
from evalkit.models import DiffusionModel
from evalkit.pipelines.checkpoints import commit, loading, locate, locate_file, require_tokenizers
from evalkit.pipelines.library_call import require_call
from evalkit.pipelines.memory import is_out_of_memory
from evalkit.pipelines.schedulers import scheduler_class, with_settings

_SAFETENSORS, _PICKLED = (".safetensors",), (".bin", ".pt", ".pth")


def load_library_pipeline(spec: DiffusionModel, dtype: torch.dtype) -> Any:
    """The pipeline of `spec` on the CPU: checkpoint, UNet, autoencoder, LoRA and scheduler.

    What can be refused without weights is refused before they are fetched.
    """
    where = f"models.{spec.name}"
    path = locate(spec.repository, where, spec.revision)
    with loading(spec.repository, where):
        index = diffusers.DiffusionPipeline.load_config(path, revision=spec.revision)
        kind = _pipeline_class(spec, index, where)  # to import a pipeline is not quiet either
    require_call(spec, kind, where)
    scheduler_class(spec, (index.get("scheduler") or [None, None])[1], where)
    parts = _parts(spec, kind, path, dtype, where)
    with loading(spec.repository, where):
        pipeline = kind.from_pretrained(
            path, revision=spec.revision, variant=spec.variant, dtype=dtype, **parts
        )
    require_tokenizers(pipeline, spec.repository, where)
    if spec.lora_repository:
        _fuse_lora(pipeline, spec, where)
    with loading(spec.scheduler or spec.repository, where):
        pipeline.scheduler = with_settings(spec, pipeline.scheduler)
    return pipeline


def part_commits(spec: DiffusionModel) -> dict[str, str | None]:
    """The commits that the parts were loaded from; None for a part that is a folder."""
    where = f"models.{spec.name}"
    unet = [spec.unet_subfolder, spec.unet_file or "config.json"]
    parts = {
        "commit": (spec.repository, spec.revision, "model_index.json"),
        "unet_commit": (spec.unet_repository, spec.unet_revision, "/".join(filter(None, unet))),
        "lora_commit": (spec.lora_repository, spec.lora_revision, spec.lora_file),
        "vae_commit": (spec.vae_repository, spec.vae_revision, "config.json"),
    }
    return {
        name: commit(locate(repository, where), revision, file)
        for name, (repository, revision, file) in parts.items()
        if repository
    }


def _pipeline_class(spec: DiffusionModel, index: dict[str, Any], where: str) -> type:
    """The class that `spec` names or the checkpoint does; with `strength` its image-to-image one,
    without, its text-to-image one."""
    own = index.get("_class_name")
    if spec.pipeline_class:
        kind = _library_class(spec.pipeline_class)
        if kind is None:
            known = [name for name in dir(diffusers) if _is_pipeline(name)]
            raise ModelError(
                f'{where}: unknown pipeline_class "{spec.pipeline_class}"; allowed are the '
                "pipelines of diffusers, such as StableDiffusionXLPipeline"
                f"{nearest(spec.pipeline_class, known)}"
            )
        if spec.pipeline_class != own:
            _require_fit(spec, kind, index, where)
    else:
        kind = _library_class(own) if isinstance(own, str) else None
        if kind is None:
            raise ModelError(
                f'{where}: "{spec.repository}" says that its pipeline is {own}, which this version '
                "of diffusers does not have; install another version, or name a pipeline_class"
            )
    from_image = spec.strength is not None
    takes_image = "strength" in inspect.signature(kind.__call__).parameters
    if from_image == takes_image or (takes_image and spec.pipeline_class):
        return kind
    return _sibling(kind, from_image) or kind


def _library_class(name: str) -> type | None:
    """The pipeline of diffusers with this name, None where there is none."""
    return getattr(diffusers, name, None) if _is_pipeline(name) else None


def _is_pipeline(name: str) -> bool:
    return name.endswith("Pipeline") and name != "DiffusionPipeline"


def _require_fit(spec: DiffusionModel, kind: type, index: dict[str, Any], where: str) -> None:
    """ModelError where the parts of the checkpoint are not those of the named class."""
    takes = inspect.signature(kind.__init__).parameters
    optional = getattr(kind, "_optional_components", ())
    needs = {
        name
        for name, parameter in takes.items()
        if parameter.default is inspect.Parameter.empty and name not in ("self", *optional)
    }
    has = {name for name, part in index.items() if isinstance(part, list) and part[0]}
    if needs - has or has - takes.keys():
        raise ModelError(
            f'{where}: "{spec.repository}" is a {index.get("_class_name")} ({listed(sorted(has))}),'
            f" not a {kind.__name__}; name its own with pipeline_class, or none with "
            'pipeline_class = ""'
        )


def _sibling(kind: type, from_image: bool) -> type | None:
    """The class of the same family that begins from an image, or that does not."""
    from diffusers.pipelines import auto_pipeline  # imports every pipeline that there is

    tables = (
        auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
    )
    found, wanted = tables if from_image else tables[::-1]
    families = [family for family, member in found.items() if member is kind]
    return wanted.get(families[0]) if families else None


def _parts(
    spec: DiffusionModel, kind: type, path: str, dtype: torch.dtype, where: str
) -> dict[str, Any]:
    """The parts that replace the checkpoint's own."""
    takes = inspect.signature(kind.__init__).parameters
    for part, setting in (("unet", spec.unet_repository), ("vae", spec.vae_repository)):
        if setting and part not in takes:
            raise ModelError(
                f"{where}: {part}_repository is given, but {kind.__name__} has no {part}; take "
                f"{part}_repository back"
            )
    parts = {}
    if spec.unet_repository:
        parts["unet"] = _unet(spec, path, dtype, where)
    if spec.vae_repository:
        vae_path = locate(spec.vae_repository, where, spec.vae_revision)
        with loading(spec.vae_repository, where):
            parts["vae"] = diffusers.AutoModel.from_pretrained(
                vae_path, revision=spec.vae_revision, dtype=dtype
            )
        if not hasattr(parts["vae"], "decode"):
            raise ModelError(
                f'{where}: vae_repository "{spec.vae_repository}" is a '
                f"{type(parts['vae']).__name__}, not an autoencoder; name one"
            )
    return parts


def _unet(spec: DiffusionModel, path: str, dtype: torch.dtype, where: str) -> torch.nn.Module:
    unet_path = locate(spec.unet_repository, where, spec.unet_revision)
    if spec.unet_file is None:
        with loading(spec.unet_repository, where):
            return diffusers.UNet2DConditionModel.from_pretrained(
                unet_path,
                subfolder=spec.unet_subfolder,
                revision=spec.unet_revision,
                variant=spec.unet_variant,
                dtype=dtype,
            )
    file = "/".join(filter(None, (spec.unet_subfolder, spec.unet_file)))
    weights = _weights(locate_file(unet_path, spec.unet_revision, file, where), spec, where)
    with loading(spec.repository, where):
        config = diffusers.UNet2DConditionModel.load_config(
            path, subfolder="unet", revision=spec.revision
        )
        with accelerate.init_empty_weights():
            unet = diffusers.UNet2DConditionModel.from_config(config)
    _require_same_shapes(unet, weights, spec, where)
    with loading(spec.unet_repository, where):
        unet.load_state_dict(weights, assign=True)
        return unet.to(dtype).eval()


def _weights(file: Path, spec: DiffusionModel, where: str) -> dict[str, torch.Tensor]:
    """The tensors of a file by name; nothing that the file says is run."""
    if file.suffix not in _SAFETENSORS + _PICKLED:
        raise ModelError(
            f'{where}: unet_file = "{spec.unet_file}" is not a file of weights; allowed are '
            f"{listed(_SAFETENSORS + _PICKLED)}; correct it"
        )
    with loading(str(file), where):
        if file.suffix in _SAFETENSORS:
            return safetensors.torch.load_file(file)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ModelError(
                f'{where}: unet_file "{spec.unet_file}" holds more than tensors, or is damaged, '
                "and what else a file says is not run; use a .safetensors file of these weights"
            ) from error


def _require_same_shapes(
    unet: torch.nn.Module, weights: dict[str, torch.Tensor], spec: DiffusionModel, where: str
) -> None:
    wanted = {name: tensor.shape for name, tensor in unet.state_dict().items()}
    given = {name: getattr(tensor, "shape", None) for name, tensor in weights.items()}
    other = [name for name in {**wanted, **given} if wanted.get(name) != given.get(name)]
    if other:
        raise ModelError(
            f'{where}: unet_file "{spec.unet_file}" does not fit the UNet of "{spec.repository}" '
            f"(of {len(wanted)} tensors {len(other)} differ, the first is {other[0]}); name the "
            "file that was made for it"
        )


def _fuse_lora(pipeline: Any, spec: DiffusionModel, where: str) -> None:
    if not hasattr(pipeline, "load_lora_weights"):
        raise ModelError(
            f"{where}: lora_repository is given, but {type(pipeline).__name__} takes no LoRA; take "
            "lora_repository back"
        )
    file = {"weight_name": spec.lora_file, "revision": spec.lora_revision}
    path = locate(spec.lora_repository, where, spec.lora_revision)
    with loading(spec.lora_repository, where):
        found = pipeline.lora_state_dict(path, **file)
        given = found[0] if isinstance(found, tuple) else found
        try:
            pipeline.load_lora_weights(path, **file)
        except (RuntimeError, ValueError) as error:  # of another size; no part of such names
            if is_out_of_memory(error):
                raise
            raise ModelError(_misfit(spec, where)) from error
        placed = _lora_tensors(pipeline)
        if not placed or placed < sum(map(_is_lora, given)):  # on which the library only remarks
            raise ModelError(_misfit(spec, where))
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()


def _lora_tensors(pipeline: Any) -> int:
    """How many tensors of a LoRA found their place."""
    modules = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    return sum(_is_lora(name) for module in modules for name, _ in module.named_parameters())


def _is_lora(name: str) -> bool:
    return any(side in name for side in ("lora_A", "lora_B", "lora.down", "lora.up"))


def _misfit(spec: DiffusionModel, where: str) -> str:
    return (
        f'{where}: the LoRA {spec.lora_file} of "{spec.lora_repository}" does not fit '
        f'"{spec.repository}"; name the file that was made for it with lora_file, or another '
        "lora_repository"
    )
