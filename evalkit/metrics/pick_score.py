"""PickScore: cosine similarity of image and prompt by a CLIP that was tuned to people's choices.

Source: Kirstain et al. (2023), Pick-a-Pic. The score is the published one, cosine times the
checkpoint's own scale (100 for PickScore v1). A difference of two scores of one prompt is a
log-odds: the model gives exp(a) / (exp(a) + exp(b)) that a person would choose the first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from evalkit.errors import ModelError
from evalkit.metrics.loading.library import loading
from evalkit.metrics.loading.packages import require_package
from evalkit.metrics.loading.places import Place, locate_folder
from evalkit.metrics.loading.tensors import device_of, ready
from evalkit.metrics.loading.words import require_words
from evalkit.metrics.registry import Card
from evalkit.study import Study

WEIGHTS = "yuvalkirstain/PickScore_v1"
CARD = Card(
    kind="image",
    weights=WEIGHTS,
    licence="MIT (of its repository; the card of the weights names none)",
    range="-100 to 100, usually 20 to 23",
    source="Kirstain et al. 2023, Pick-a-Pic, arXiv:2305.01569",
)
_FILES = ("*.json", "*.txt", "*.safetensors")


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the scores; see `load`."""
    return _locate(weights).name


def load(weights: str | None, study: Study, device: str | None = None) -> "PickScorer":
    """The scorer with these weights: a repository of the hub, or a local folder in its layout.

    The folder holds a CLIP of transformers with its processor: config.json, model.safetensors (or
    pytorch_model.bin), preprocessor_config.json and the tokenizer's files. Runs in float32, on the
    first CUDA device where no device is named and there is one. Raises ModelError, one sentence.
    """
    require_package("torch", "pick_score")
    require_package("transformers", "pick_score")
    return _load_place(_locate(weights), device)


class PickScorer:
    """A CLIP of transformers with its own preprocessing and tokenizer."""

    batch_size = 16

    def __init__(self, model: Any, pictures: Any, tokenizer: Any, weights: str):
        self.weights = weights
        self._model = model
        self._pictures = pictures
        self._tokenizer = tokenizer
        self._limit = model.config.text_config.max_position_embeddings
        self._scale = model.logit_scale.exp().item()

    def prepare(self, image: Image.Image) -> Any:
        """The image as the checkpoint's own preprocessing makes it, by Pillow as in training."""
        return self._pictures(image, return_tensors="pt")["pixel_values"][0]

    def score(self, prepared: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        """Scale x cosine similarity of each image with its prompt."""
        scores = self.compare(self.encode_images(prepared), self.encode_texts(prompts))
        return scores.tolist()

    def encode_images(self, prepared: Sequence[Any]) -> np.ndarray:
        """Unit embeddings (n x d, float32)."""
        import torch

        with torch.inference_mode():
            pixels = torch.stack(list(prepared)).to(device_of(self._model))
            pooled = self._model.vision_model(pixel_values=pixels).pooler_output
            return _unit(self._model.visual_projection(pooled))

    def encode_texts(self, prompts: Sequence[str]) -> np.ndarray:
        """Unit embeddings (n x d, float32); of a long prompt only the beginning is read."""
        import torch

        tokens = self._tokenizer(
            list(prompts),
            padding=True,
            truncation=True,
            max_length=self._limit,
            return_tensors="pt",
        ).to(device_of(self._model))
        with torch.inference_mode():
            pooled = self._model.text_model(**tokens).pooler_output
            return _unit(self._model.text_projection(pooled))

    def compare(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scale x cosine (n) of embeddings at the same place."""
        return self._scale * (images.astype(np.float64) * texts).sum(axis=1)

    def is_truncated(self, prompt: str) -> bool:
        """Whether the prompt has more tokens than the text encoder reads (77 in PickScore v1)."""
        return len(self._tokenizer(prompt, verbose=False)["input_ids"]) > self._limit


def _locate(weights: str | None) -> Place:
    return locate_folder(weights or WEIGHTS, _FILES)


def _load_place(place: Place, device: str | None) -> PickScorer:
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of putting tensors in place; the bar of a download is another
    if not (place.path / "config.json").is_file():  # without it the library takes its own sizes
        raise ModelError(
            f'score: the weights "{place.name}" have no config.json; a folder of them holds it '
            "beside model.safetensors; complete it"
        )
    with loading(place.name):
        model, found = CLIPModel.from_pretrained(
            place.path, output_loading_info=True, ignore_mismatched_sizes=True
        )
        pictures = CLIPImageProcessorPil.from_pretrained(place.path)
        tokenizer = AutoTokenizer.from_pretrained(place.path)
    _require_whole(found, place.name)
    require_words(tokenizer, place.name)
    return PickScorer(ready(model, device), pictures, tokenizer, place.name)


def _require_whole(found: dict[str, Any], name: str) -> None:
    """ModelError where tensors of the checkpoint are not those of the model of its config."""
    other = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    other |= {key for key in found["unexpected_keys"] if not key.endswith("position_ids")}
    if other:
        raise ModelError(
            f'score: the weights "{name}" do not fit the CLIP of their config.json ({len(other)} '
            f"tensors differ, the first is {min(other)}); fetch them again, or name others"
        )


def _unit(embeddings: Any) -> np.ndarray:
    return (embeddings / embeddings.norm(dim=-1, keepdim=True)).float().cpu().numpy()
