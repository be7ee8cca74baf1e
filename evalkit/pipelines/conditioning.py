"""What the prompts become for the denoiser: each distinct prompt is encoded once."""

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import diffusers
import torch

from evalkit.models import DiffusionModel

_GUIDED = ("prompt_embeds", "negative_prompt_embeds")
_POOLED = (*_GUIDED, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_FLUX = ("prompt_embeds", "pooled_prompt_embeds")
_GIVES = {  # by class: what its encode_prompt gives, in order, as arguments of its call
    "StableDiffusionPipeline": _GUIDED,
    "StableDiffusionImg2ImgPipeline": _GUIDED,
    "StableDiffusionXLPipeline": _POOLED,
    "StableDiffusionXLImg2ImgPipeline": _POOLED,
    "StableDiffusion3Pipeline": _POOLED,
    "StableDiffusion3Img2ImgPipeline": _POOLED,
    "FluxPipeline": _FLUX,
    "FluxImg2ImgPipeline": _FLUX,
    "AmusedPipeline": (
        "prompt_embeds",
        "encoder_hidden_states",
        "negative_prompt_embeds",
        "negative_encoder_hidden_states",
    ),
    "SanaSprintPipeline": ("prompt_embeds", "prompt_attention_mask"),
    "SanaPipeline": (
        "prompt_embeds",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_prompt_attention_mask",
    ),
}

_Row = dict[str, torch.Tensor]  # one prompt's arguments, each with a first dimension of 1


class Conditioning:
    """The prompts of one loaded pipeline as arguments of its call; others than above take text."""

    def __init__(self, pipeline: Any, spec: DiffusionModel) -> None:
        self._pipeline = pipeline
        self._spec = spec
        self._names = _GIVES.get(type(pipeline).__name__)
        self._encode = getattr(pipeline, "encode_prompt", None)
        if isinstance(pipeline, diffusers.AmusedPipeline):
            self._encode = functools.partial(_encode_amused, pipeline)
        self._takes = _parameters(self._encode)
        self._kept: dict[str, _Row] = {}
        self._negative: _Row = {}  # the same for every prompt

    def of_batch(self, prompts: Sequence[str]) -> dict[str, Any]:
        """Arguments for these prompts, in order; those of the batch before are not encoded anew."""
        return self._arguments(prompts, self._kept)

    def forget(self) -> None:
        """Keep no prompts: those of a call that failed were encoded in other company."""
        self._kept = {}

    def encode(self, prompts: Sequence[str]) -> dict[str, Any]:
        """Arguments for these prompts, in order; each distinct one is encoded, whatever is kept."""
        return self._arguments(prompts, {})

    def _arguments(self, prompts: Sequence[str], known: dict[str, _Row]) -> dict[str, Any]:
        if self._names is None:
            return {"prompt": list(prompts), **self._negative_text(len(prompts))}
        distinct = dict.fromkeys(prompts)
        rows = {prompt: known[prompt] for prompt in distinct if prompt in known}
        new = [prompt for prompt in distinct if prompt not in known]
        if new:
            rows.update(zip(new, self._encoded(new), strict=True))
        self._kept = rows
        stacked: dict[str, Any] = {
            name: torch.cat([rows[prompt][name] for prompt in prompts]) for name in rows[prompts[0]]
        }
        if "negative_prompt" not in self._takes:  # FLUX, which encodes it in its call
            return stacked | self._negative_text(len(prompts))
        if "negative_prompt_embeds" in stacked:
            stacked["negative_prompt"] = None  # SanaPipeline's own is "", too much beside them
        return stacked

    @torch.no_grad()
    def _encoded(self, prompts: list[str]) -> list[_Row]:
        given = self._encode(prompts, **self._encoding(len(prompts)))
        found = {
            name: tensor
            for name, tensor in zip(self._names, given, strict=False)  # Flux adds its text ids
            if tensor is not None
        }
        self._negative = {
            name: tensor[:1] for name, tensor in found.items() if name.startswith("negative_")
        }
        return [
            {name: tensor[i : i + 1] for name, tensor in found.items()} for i in range(len(prompts))
        ]

    def _encoding(self, n: int) -> dict[str, Any]:
        """The arguments of encode_prompt, as the pipeline's own call would give them."""
        spec, pipeline, call = self._spec, self._pipeline, _parameters(self._pipeline.__call__)
        given = {
            name: spec.call_settings.get(name, call[name].default)
            for name in self._takes
            if name in call and name != "prompt"
        }
        if "negative_prompt" in self._takes:
            given.update(self._negative_text(n))
        given.update((name, row.expand(n, *row.shape[1:])) for name, row in self._negative.items())
        given["device"] = pipeline._execution_device
        if "do_classifier_free_guidance" in self._takes:
            pipeline._guidance_scale = spec.guidance  # its call sets it too late for this property
            given["do_classifier_free_guidance"] = pipeline.do_classifier_free_guidance
        return given

    def _negative_text(self, n: int) -> dict[str, list[str]]:
        # SDXL takes "" otherwise than no negative prompt.
        return (
            {"negative_prompt": [self._spec.negative_prompt] * n}
            if self._spec.negative_prompt
            else {}
        )


def _encode_amused(
    pipeline: Any,
    prompt: list[str],
    device: torch.device,
    negative_prompt: list[str] | None = None,
    negative_prompt_embeds: torch.Tensor | None = None,
    negative_encoder_hidden_states: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """As encode_prompt of others: AmusedPipeline has none, and encodes in its call."""

    def encoded(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        length = pipeline.tokenizer.model_max_length
        tokens = pipeline.tokenizer(
            texts, return_tensors="pt", padding="max_length", truncation=True, max_length=length
        )
        found = pipeline.text_encoder(
            tokens.input_ids.to(device), return_dict=True, output_hidden_states=True
        )
        return found.text_embeds, found.hidden_states[-2]

    if negative_prompt_embeds is not None:
        return *encoded(prompt), negative_prompt_embeds, negative_encoder_hidden_states
    return *encoded(prompt), *encoded(negative_prompt or [""] * len(prompt))


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters if function else {}
