"""A vision-language model that is asked one thing, and how likely each answer's token is.

Asked through the model's own chat template, as one message of a user; nothing is sampled.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from evalkit.errors import ModelError, listed
from evalkit.metrics.loading.library import loading, quiet
from evalkit.metrics.loading.packages import require_package
from evalkit.metrics.loading.places import Place, locate_folder
from evalkit.metrics.loading.words import require_words

DEFAULT = "Qwen/Qwen3-VL-4B-Instruct"
_FILES = ("*.json", "*.txt", "*.jinja", "*.model", "*.safetensors")
Content = Sequence[str | Image.Image]  # of one message, in the order in which it is shown


class VisionLanguageModel:
    """A model of transformers' AutoModelForImageTextToText with its processor."""

    def __init__(self, model: Any, processor: Any, weights: str):
        self.weights = weights
        self._model = model.eval()
        self._processor = processor

    def log_probabilities(self, asked: Sequence[Content], answers: Sequence[str]) -> np.ndarray:
        """Log-probability of each answer's token as the first of the reply (n x answers).

        Over the whole vocabulary, from the logits before any temperature, in float32 or better.
        """
        import torch

        messages = [[{"role": "user", "content": _parts(content)}] for content in asked]
        inputs = self._processor.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            # The reply comes after the last token, which must stand in the same place in each row.
            processor_kwargs={"padding": True, "padding_side": "left", "return_tensors": "pt"},
        )
        inputs = inputs.to(self._model.device, dtype=self._model.dtype)
        with torch.inference_mode(), quiet():
            reply = self._model.generate(
                **inputs,
                max_new_tokens=1,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
            logs = torch.log_softmax(reply.logits[0].float(), dim=-1)
        return logs[:, [self._token(answer) for answer in answers]].double().cpu().numpy()

    def require_tokens(self, *answers: str) -> None:
        """ModelError unless each answer is one token, and no two the same."""
        tokens = [self._tokens(answer) for answer in answers]
        if any(len(found) != 1 for found in tokens) or len({*map(tuple, tokens)}) < len(answers):
            raise ModelError(
                f'score: the tokenizer of "{self.weights}" has not one token of its own for each '
                f"of {listed(answers)}; the metric reads the first token of the answer; name "
                "weights with another tokenizer"
            )

    def _token(self, answer: str) -> int:
        return self._tokens(answer)[0]

    def _tokens(self, answer: str) -> list[int]:
        return self._processor.tokenizer(answer, add_special_tokens=False)["input_ids"]


def identify_vision_language(weights: str | None) -> str:
    """The name of these weights in the scores; see `load_vision_language`."""
    return _locate(weights).name


def load_vision_language(
    weights: str | None, metric: str, device: str | None = None
) -> VisionLanguageModel:
    """The model `weights`: a local folder, a repository of the hub (`owner/name`), or the default.

    None is Qwen/Qwen3-VL-4B-Instruct. Parameters are read from .safetensors files. bfloat16 on a
    CUDA device, the first where none is named and there is one, else float32. Raises ModelError,
    one sentence, on a missing package, what cannot be loaded, parameters that the checkpoint does
    not hold, and a model without a chat template.
    """
    for package in ("torch", "torchvision", "transformers"):
        require_package(package, metric)
    place = _locate(weights)
    with loading(place.name), _without_bars():
        model, processor, missing = _load(place, device)
    if missing:
        raise ModelError(
            f'score: the weights "{place.name}" lack {len(missing)} parameters of their model, the '
            f"first of them {min(missing)}; a model without them would answer at random; name a "
            "whole checkpoint"
        )
    if not getattr(processor, "chat_template", None):
        raise ModelError(
            f'score: the weights "{place.name}" come without a chat template, through which '
            f"{metric} asks; name a model that was tuned for instructions"
        )
    return VisionLanguageModel(model, processor, place.name)


def _locate(weights: str | None) -> Place:
    return locate_folder(weights or DEFAULT, _FILES)


def _load(place: Place, device: str | None) -> tuple[Any, Any, set[str]]:
    """The model, its processor, and the names of its parameters that the checkpoint lacks."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    processor = AutoProcessor.from_pretrained(place.path)
    require_words(processor.tokenizer, place.name)
    model, found = AutoModelForImageTextToText.from_pretrained(
        place.path,
        dtype=torch.bfloat16 if device.startswith("cuda") else torch.float32,
        use_safetensors=True,
        output_loading_info=True,
    )
    return model.to(device), processor, set(found["missing_keys"])


def _parts(content: Content) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image", "image": part}
        for part in content
    ]


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without a bar of parameters read, which takes seconds."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
