"""CLIP weights by open_clip: named, identified by content where they are files, loaded in float32.

Weights are `ARCHITECTURE/PRETRAINED` as open_clip lists them (`ViT-L-14/openai`), a folder in
open_clip's layout (its config beside a checkpoint), a checkpoint file as `ARCHITECTURE:FILE`
(`ViT-L-14:weights/clip.safetensors`), or `scenes-clip`, which comes with evalkit.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import ModelError, first_line, listed, nearest
from evalkit.models.catalogue import checkpoint_path

BUILT_IN = "scenes-clip"
CONFIG_NAME = "open_clip_config.json"
ENDINGS = (".safetensors", ".pt", ".bin", ".pth")
EXAMPLE = "ViT-L-14/openai"


@dataclass(frozen=True)
class OpenClip:
    """A loaded CLIP: the model on its device, its own preprocessing of images, its tokenizer."""

    model: Any
    preprocess: Callable[..., Any]
    tokenizer: Callable[..., Any]
    weights: str


def identify(weights: str, metric: str = "clip_score") -> str:
    """The name that these weights have in a table, without loading them.

    A folder or file is named by its own name and 12 hex digits of the SHA-256 of its contents.
    Raises ModelError where a named file is not there, or is of another kind.
    """
    architecture, file = _split_file(weights)
    if file is not None:
        _require_checkpoint(file, weights, metric)
        return f"{architecture}:{file.name}@{_hash([file])}"
    folder = Path(weights)
    if weights != BUILT_IN and folder.is_dir():
        files = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", *ENDINGS)]
        return f"{folder.resolve().name}@{_hash(files)}"
    return weights


def load(weights: str, device: str | None = None, metric: str = "clip_score") -> OpenClip:
    """The CLIP of these weights, in evaluation mode, on `device` (None: the first CUDA device).

    A `.pt`, `.pth` or `.bin` file is read as weights only: it cannot run code. The preprocessing
    of a file is open_clip's default (the mean and deviation of OpenAI's models): weights that were
    trained with another need a folder with a config. Raises ModelError, one sentence that begins
    with `score: METRIC`, on weights that are unknown or cannot be had.
    """
    open_clip = _import_open_clip(metric)
    name = identify(weights, metric)
    architecture, file = _split_file(weights)
    if weights == BUILT_IN:
        source = f"local-dir:{checkpoint_path(f'built-in:{BUILT_IN}')}"
        return _create(open_clip, metric, name, device, source)
    if file is not None:
        _require_architecture(open_clip, architecture, weights, metric)
        return _create(open_clip, metric, name, device, architecture, str(file))
    if Path(weights).is_dir():
        _require_config(Path(weights), metric)
        return _create(open_clip, metric, name, device, f"local-dir:{weights}")
    architecture, _, pretrained = weights.partition("/")
    _require_architecture(open_clip, architecture, weights, metric)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if pretrained not in tags:
        raise ModelError(
            f'score: {metric}: unknown weights "{weights}"; {architecture} has {listed(tags)}'
            f"{nearest(pretrained, tags)}"
        )
    # open_clip leaves GELU in place for weights that were trained with QuickGELU, such as OpenAI's
    quick_gelu = bool(open_clip.get_pretrained_cfg(architecture, pretrained).get("quick_gelu"))
    return _create(open_clip, metric, name, device, architecture, pretrained, quick_gelu)


def is_truncated(tokenizer: Any, prompt: str) -> bool:
    """Whether the prompt has more tokens than the text encoder reads.

    Found by room for one more token: then the end token moves, or text stands where padding
    would.
    """
    length = tokenizer.context_length
    seen = tokenizer([prompt], context_length=length)[0]
    longer = tokenizer([prompt], context_length=length + 1)[0]
    padding = tokenizer([""], context_length=length + 1)[0, -1]
    return not seen.equal(longer[:length]) or bool(longer[-1] != padding)


def _import_open_clip(metric: str) -> Any:
    try:
        import open_clip
    except ImportError:
        raise ModelError(
            f"score: {metric} needs the package open_clip, which is not installed; "
            'run: pip install "evalkit[metrics]"'
        ) from None
    return open_clip


def _split_file(weights: str) -> tuple[str, Path | None]:
    """Architecture and file of `ARCHITECTURE:FILE`; no file of other weights."""
    architecture, colon, file = weights.partition(":")
    is_file = colon and file and "/" not in architecture and not Path(weights).exists()
    return architecture, Path(file) if is_file else None


def _require_checkpoint(file: Path, weights: str, metric: str) -> None:
    if not file.is_file() or file.suffix not in ENDINGS:
        found = f"is no {listed(ENDINGS)} file" if file.exists() else "is not there"
        raise ModelError(
            f'score: {metric}: weights "{weights}": {file} {found}; allowed is '
            "ARCHITECTURE:FILE with a checkpoint's file; correct the path"
        )


def _require_config(folder: Path, metric: str) -> None:
    """open_clip would go on without a checkpoint, with random weights."""
    if not (folder / CONFIG_NAME).is_file():
        raise ModelError(
            f"score: {metric}: {folder} has no {CONFIG_NAME}; a local folder of CLIP weights "
            "holds it beside open_clip_model.safetensors; name such a folder"
        )


def _require_architecture(open_clip: Any, architecture: str, weights: str, metric: str) -> None:
    architectures = open_clip.list_models()
    if architecture not in architectures:
        raise ModelError(
            f'score: {metric}: unknown weights "{weights}"; allowed are {BUILT_IN}, a local '
            "folder, ARCHITECTURE:FILE, or ARCHITECTURE/PRETRAINED as open_clip lists them, for "
            f"example {EXAMPLE}{nearest(architecture, [BUILT_IN, *architectures])}"
        )


def _create(
    open_clip: Any,
    metric: str,
    name: str,
    device: str | None,
    source: str,
    pretrained: str | None = None,
    quick_gelu: bool = False,
) -> OpenClip:
    import torch

    try:
        model, preprocess = open_clip.create_model_from_pretrained(
            source,
            pretrained,
            precision="fp32",
            device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
            force_quick_gelu=quick_gelu,
        )
        tokenizer = open_clip.get_tokenizer(source)
    except Exception as error:  # every kind of network, file and shape failure, with one remedy
        raise ModelError(
            f'score: {metric}: the weights "{name}" could not be loaded ({first_line(error)}); '
            "allowed are weights that the hub can be reached for, a local folder or file, or "
            f"{BUILT_IN}; name one of them"
        ) from None
    return OpenClip(model.eval(), preprocess, tokenizer, name)


def _hash(files: list[Path]) -> str:
    """12 hex digits over the files and their names, so other weights are named otherwise."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
