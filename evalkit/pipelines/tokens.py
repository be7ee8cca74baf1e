"""How long a prompt is for a model: counted by its own tokenizers, without loading weights."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import diffusers
import transformers

from evalkit.models import CascadeModel, DiffusionModel, ModelSpec
from evalkit.pipelines.checkpoints import loading, locate, require_tokenizer

_WRITTEN_IN = {"IFPipeline": 77, "Kandinsky3Pipeline": 128}  # limits that these pipelines pass on
_UNLIMITED = 100_000  # a tokenizer without a limit of its own says 10**30


@dataclass(frozen=True)
class TextWindow:
    """The longest window of a model's text encoders.

    `limit` is in tokens, the marks of begin and end included; `count` gives the tokens, with those
    marks, of each of some texts. A text of more tokens is cut before any encoder reads it.
    """

    limit: int
    count: Callable[[Sequence[str]], list[int]]


def load_text_window(spec: ModelSpec) -> TextWindow | None:
    """The text window of a located model; None where it has no tokenizer of its own (images that
    are imported, functions, commands) or none with a limit.

    The limit of a CLIP tokenizer is its own; for others it is what the pipeline's call is told,
    `max_sequence_length` of `call_settings` or its default (T5: FLUX 512, Stable Diffusion 3 256;
    Gemma: Sana 300, of which its instruction takes one). A cascade's text is that of its first
    stage. Texts are counted as given: without the lower case that some pipelines make of them.
    Raises ModelError where a tokenizer cannot be loaded.
    """
    if isinstance(spec, CascadeModel):
        repository, revision, settings = spec.stages[0].repository, spec.stages[0].revision, {}
    elif isinstance(spec, DiffusionModel):
        repository, revision, settings = spec.repository, spec.revision, spec.call_settings
    else:
        return None
    where = f"models.{spec.name}"
    path = locate(repository, where)
    with loading(repository, where):
        index, tokenizers = _load_tokenizers(path, revision)
    for name, tokenizer in tokenizers.items():
        require_tokenizer(name, tokenizer, repository, where)
    windows = [(_limit(index, tokenizer, settings), tokenizer) for tokenizer in tokenizers.values()]
    windows = [(limit, tokenizer) for limit, tokenizer in windows if limit < _UNLIMITED]
    if not windows:
        return None
    limit, tokenizer = max(windows, key=lambda window: window[0])
    return TextWindow(limit, lambda texts: _count(tokenizer, texts))


@lru_cache(maxsize=16)  # models of one study often share a checkpoint
def _load_tokenizers(path: str, revision: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    index = diffusers.DiffusionPipeline.load_config(path, revision=revision)
    tokenizers = {
        name: getattr(transformers, part[1]).from_pretrained(
            path, subfolder=name, revision=revision
        )
        for name, part in index.items()
        if name.startswith("tokenizer") and _is_of_the_library(part)
    }
    return index, tokenizers


def _is_of_the_library(part: Any) -> bool:
    """Whether a part of a checkpoint is there and its class is one of transformers."""
    return isinstance(part, list) and part[0] == "transformers" and hasattr(transformers, part[1])


def _limit(index: dict[str, Any], tokenizer: Any, settings: dict[str, Any]) -> int:
    if "CLIP" in type(tokenizer).__name__:
        return tokenizer.model_max_length
    name = index.get("_class_name")
    if name in _WRITTEN_IN:
        return _WRITTEN_IN[name]
    kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    parameters = inspect.signature(kind.__call__).parameters if kind is not None else {}
    if "max_sequence_length" not in parameters:
        return tokenizer.model_max_length
    given = {key: parameter.default for key, parameter in parameters.items()} | settings
    limit = given["max_sequence_length"]
    if given.get("complex_human_instruction"):  # Sana's: it keeps two places beside the text
        return limit - 2 + len(tokenizer("")["input_ids"])
    return limit


def _count(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    if not texts:
        return []
    return [len(tokens) for tokens in tokenizer(list(texts), verbose=False)["input_ids"]]
