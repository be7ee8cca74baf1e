"""Known architectures at their full size with random weights: they time like the real ones."""

import inspect
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import tokenizers
import torch
import transformers
from diffusers.pipelines.stable_diffusion import safety_checker

from evalkit.errors import ModelError, listed
from evalkit.models import DiffusionModel, ModelSpec
from evalkit.pipelines.checkpoints import loading
from evalkit.pipelines.devices import resolve_device
from evalkit.pipelines.diffusion import DiffusionPipeline, computed_in, equip
from evalkit.pipelines.schedulers import with_settings

_FOLDER = Path(__file__).parent / "architectures"
_SAME_PARTS = (  # weights of other repositories for a part that is as the architecture has it
    "ByteDance/SDXL-Lightning",
    "tianweiy/DMD2",
    "madebyollin/sdxl-vae-fp16-fix",
)
_BYTES = 256
_SEED = 0


@cache
def architectures() -> dict[str, dict[str, Any]]:
    """The known architectures by the name of a repository that has them; see `architectures/`."""
    files = [tomllib.loads(file.read_text("utf-8")) for file in sorted(_FOLDER.glob("*.toml"))]
    return {name: content for content in files for name in content["repositories"]}


def load(spec: ModelSpec, device: str | None) -> DiffusionPipeline:
    """The model of `spec` with random weights, on its device, as the real loader gives it.

    Nothing is fetched, and the weights are made on the device in the precision of `spec`. A LoRA is
    left out: fused, it changes no size. Raises ModelError where the architecture is not known or
    does not fit into the memory.
    """
    started = time.perf_counter()
    target = resolve_device(device)
    architecture = find(spec)
    with loading(spec.repository, f"models.{spec.name}", memory=str(target)):
        library = build(architecture, target, computed_in(spec, target))
        library = _for_images(library) if spec.takes_image else library
        library.scheduler = with_settings(spec, library.scheduler)
    made_with = {**equip(spec, library, target), "random_weights": True}
    made_with["load_seconds"] = round(time.perf_counter() - started, 3)
    return DiffusionPipeline(spec, library, made_with)


def find(spec: ModelSpec) -> dict[str, Any]:
    """The architecture of `spec`, its replaced parts put in; ModelError where it is not known."""
    known = architectures()
    if not isinstance(spec, DiffusionModel) or spec.repository not in known:
        raise ModelError(
            f"models.{spec.name}: its architecture is not known, so it cannot be built with random "
            f"weights; known are {listed(sorted(known))}; load the real weights instead"
        )
    architecture = known[spec.repository]
    parts = dict(architecture["parts"])
    for name, repository in (("unet", spec.unet_repository), ("vae", spec.vae_repository)):
        if repository is None or repository in _SAME_PARTS:
            continue
        replacements = architecture.get("replacements", {})
        if repository not in replacements:
            raise ModelError(
                f'models.{spec.name}: the architecture of "{repository}" is not known, so it '
                "cannot be built with random weights; known are "
                f"{listed([*sorted(replacements), *_SAME_PARTS])}; load the real weights instead"
            )
        parts[name] = _replaced(parts[name], replacements[repository])
    return {**architecture, "parts": parts}


def build(architecture: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Any:
    """A library pipeline of the architecture with random weights of `dtype` made on `device`."""
    parts: dict[str, Any] = {}
    with _made_on(device, dtype):
        for name, part in architecture["parts"].items():
            parts[name] = make_part(part).eval().requires_grad_(False)
    for name, sizes in architecture["tokenizers"].items():
        parts[name] = byte_tokenizer(**sizes)
    for name, size in architecture.get("image_processor", {}).items():
        parts[name] = transformers.CLIPImageProcessor(
            size={"shortest_edge": size}, crop_size={"height": size, "width": size}
        )
    scheduler = dict(architecture["scheduler"])
    parts["scheduler"] = getattr(diffusers, scheduler.pop("class"))(**scheduler)
    kind = getattr(diffusers, architecture["pipeline"])
    takes = inspect.signature(kind.__init__).parameters
    absent = [name for name in kind._optional_components if name in takes and name not in parts]
    return kind(**dict.fromkeys(absent), **parts, **architecture.get("settings", {}))


def make_part(part: dict[str, Any]) -> torch.nn.Module:
    """One part of an architecture, on the default device and of the default dtype."""
    name, config = part["class"], part["config"]
    kind = getattr(diffusers, name, None)
    if kind is not None:
        return kind.from_config(config)
    if name == "StableDiffusionSafetyChecker":
        return safety_checker.StableDiffusionSafetyChecker(transformers.CLIPConfig(**config))
    kind = getattr(transformers, name)
    return kind(kind.config_class(**config))


def byte_tokenizer(
    length: int, eos: int, pad: int, bos: int | None = None
) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer with a token for each byte, between `bos` (or none) and `eos`.

    It gives more tokens than the real ones; padded to `length`, as prompts are, as many.
    """
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    special = {"<bos>": bos, "<eos>": eos, "<pad>": pad}
    taken = {number for number in special.values() if number is not None}
    free = (number for number in range(_BYTES + len(special)) if number not in taken)
    vocabulary = dict(zip(alphabet, free, strict=False))
    names = {number: name for name, number in special.items() if number is not None}
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab=vocabulary | {name: number for number, name in names.items()}, merges=[]
        )
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    begin = [] if bos is None else [(names[bos], bos)]
    end = (names[eos], eos)
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=" ".join([*(name for name, _ in begin), "$A", end[0]]),
        special_tokens=list(dict([*begin, end]).items()),
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=length,
        pad_token=names[pad],
        eos_token=names[eos],
        bos_token=None if bos is None else names[bos],
    )


def _replaced(part: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The part with other settings, or one of another class."""
    if "class" in changes:
        return changes
    return {**part, **changes, "config": part["config"] | changes["config"]}


def _for_images(library: Any) -> Any:
    """The image-to-image pipeline of the same parts."""
    return diffusers.AutoPipelineForImage2Image.from_pipe(library)


@contextmanager
def _made_on(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """New parameters are made on `device` in `dtype`, the same each time."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(_SEED)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
