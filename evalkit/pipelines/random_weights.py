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
from diffusers.pipelines.deepfloyd_if.safety_checker import IFSafetyChecker
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

from evalkit.errors import ModelError, listed
from evalkit.models import CascadeModel, DiffusionModel, ModelSpec
from evalkit.pipelines.cascade import (
    CascadePipeline,
    SafetyFilter,
    assemble,
    check_kinds,
    check_size,
    sizing_part,
)
from evalkit.pipelines.checkpoints import loading
from evalkit.pipelines.devices import resolve_device, resolve_precision
from evalkit.pipelines.diffusion import DiffusionPipeline, computed_in, equip
from evalkit.pipelines.schedulers import with_settings

_FOLDER = Path(__file__).parent / "architectures"
_SAME_PARTS = (  # weights of other repositories for a part that is as the architecture has it
    "ByteDance/SDXL-Lightning",
    "tianweiy/DMD2",
    "madebyollin/sdxl-vae-fp16-fix",
)
_CHECKERS = {kind.__name__: kind for kind in (IFSafetyChecker, StableDiffusionSafetyChecker)}
_BYTES = 256
_WORD = r"\w+|[^\w\s]|\n"
_SEED = 0


@cache
def architectures() -> dict[str, dict[str, Any]]:
    """The known architectures by the name of a repository that has them; see `architectures/`."""
    files = [tomllib.loads(file.read_text("utf-8")) for file in sorted(_FOLDER.glob("*.toml"))]
    return {name: content for content in files for name in content["repositories"]}


def load(spec: ModelSpec, device: str | None) -> DiffusionPipeline | CascadePipeline:
    """The model of `spec` with random weights, on its device, as the real loader gives it.

    Nothing is fetched, and the weights are made on the device in the precision of `spec`. A LoRA is
    left out: fused, it changes no size. Raises ModelError where the architecture is not known or
    does not fit into the memory.
    """
    if isinstance(spec, CascadeModel):
        return _cascade(spec, device)
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
    architecture = _known(spec, spec.repository if isinstance(spec, DiffusionModel) else "")
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
            if dtype == torch.float16:
                _keep_in_float32(parts[name])
    for name, sizes in architecture.get("tokenizers", {}).items():
        parts[name] = byte_tokenizer(**sizes)
    for name, special in architecture.get("word_tokenizers", {}).items():
        parts[name] = word_tokenizer(**special)
    for name, size in architecture.get("image_processor", {}).items():
        parts[name] = transformers.CLIPImageProcessor(
            size={"shortest_edge": size}, crop_size={"height": size, "width": size}
        )
    schedulers = {"scheduler": architecture["scheduler"]}
    for name, settings in (schedulers | architecture.get("noise_schedulers", {})).items():
        of_class = {key: value for key, value in settings.items() if key != "class"}
        parts[name] = getattr(diffusers, settings["class"])(**of_class)
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
    if name in _CHECKERS:
        return _CHECKERS[name](transformers.CLIPConfig(**config))
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


def word_tokenizer(bos: int, pad: int) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer with one token for each word, mark and line end, the same for all, after `bos`.

    For English it gives about as many as one with a large vocabulary.
    """
    word = max(bos, pad) + 1
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<pad>": pad, "<bos>": bos, "<word>": word}, "<word>")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(_WORD), behavior="removed", invert=True
    )
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", bos)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", unk_token="<word>"
    )


def _cascade(spec: CascadeModel, device: str | None) -> CascadePipeline:
    """As `load`, of stages; the safety filter is the last one that a stage has."""
    started = time.perf_counter()
    target = resolve_device(device)
    known = [_known(spec, stage.repository) for stage in spec.stages]
    dtype = getattr(torch, resolve_precision(spec.precision, target))
    where = f"models.{spec.name}"
    kinds = [architecture["pipeline"] for architecture in known]
    check_kinds(spec, kinds, where)
    sizing = [a["parts"][sizing_part(kind)]["config"] for a, kind in zip(known, kinds, strict=True)]
    check_size(spec, kinds, sizing, where)
    pipelines, safety = [], None
    for number, architecture in enumerate(known, start=1):
        with loading(spec.stages[number - 1].repository, where, memory=str(target)):
            made = build(architecture, target, dtype)
        if made.safety_checker is not None:
            safety = SafetyFilter(number, _passing(made.safety_checker), made.feature_extractor)
        pipelines.append(made)
    cascade = assemble(spec, pipelines, safety, target)
    cascade.made_with["random_weights"] = True
    cascade.made_with["load_seconds"] = round(time.perf_counter() - started, 3)
    return cascade


def _passing(checker: IFSafetyChecker) -> IFSafetyChecker:
    """The checker with answers of 0: with random ones it would withhold images at random."""
    for head in (checker.p_head, checker.w_head):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    return checker


def _known(spec: ModelSpec, repository: str) -> dict[str, Any]:
    """The architecture of a repository; ModelError where it is not known."""
    known = architectures()
    if repository not in known:
        named = f' ("{repository}")' if repository else ""
        raise ModelError(
            f"models.{spec.name}: its architecture is not known{named}, so it cannot be built with "
            f"random weights; known are {listed(sorted(known))}; load the real weights instead"
        )
    return known[repository]


def _keep_in_float32(part: torch.nn.Module) -> None:
    """What the library leaves in float32 when it loads a part in float16, as T5's `wo`."""
    kept = getattr(part, "_keep_in_fp32_modules", None) or ()
    for name, module in part.named_modules():
        if name.split(".")[-1] in kept:
            module.float()


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
