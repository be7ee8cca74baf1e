"""HPS v2: 100 times the cosine similarity of image and prompt, by a CLIP tuned to preferences.

Source: Wu et al. (2023), Human Preference Score v2, and its package `hpsv2`, whose score() gives
the cosine; 100 times that, as its benchmark reports it. Versions 2 and 2.1 do not compare.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from evalkit.metrics.loading.library import loading
from evalkit.metrics.loading.packages import require_package
from evalkit.metrics.loading.places import Place, locate_file
from evalkit.metrics.loading.tensors import device_of, fill, read_tensors, ready
from evalkit.metrics.registry import Card
from evalkit.study import Study

VERSIONS = {
    "v2": "xswu/HPSv2/HPS_v2_compressed.pt",
    "v2.1": "xswu/HPSv2/HPS_v2.1_compressed.pt",
}
WEIGHTS = "v2.1"
ARCHITECTURE = "ViT-H-14"
SCALE = 100.0
CARD = Card(
    kind="image",
    weights=WEIGHTS,
    licence="Apache-2.0",
    range="-100 to 100, usually 20 to 33",
    source="Wu et al. 2023, Human Preference Score v2, arXiv:2306.09341",
)


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the scores; see `load`."""
    return _locate(weights).name


def load(weights: str | None, study: Study, device: str | None = None) -> "HpsScorer":
    """The scorer with these weights: `v2`, `v2.1`, or a file of a tuned ViT-H-14.

    The file lies here or on the hub. Runs in float32 (the package: in half precision on a GPU), on
    the first CUDA device where no device is named and there is one. Raises ModelError, one
    sentence.
    """
    require_package("torchvision", "hps")
    open_clip = require_package("open_clip", "hps")
    place = _locate(weights)
    tensors = read_tensors(place)
    with loading(place.name):
        model = open_clip.create_model(ARCHITECTURE, precision="fp32")
        tokenizer = open_clip.get_tokenizer(ARCHITECTURE)
    fill(model, tensors, place.name)
    return HpsScorer(ready(model, device), tokenizer, place.name)


class HpsScorer:
    """An open_clip model with the preprocessing of the package `hpsv2`."""

    batch_size = 16

    def __init__(self, model: Any, tokenizer: Any, weights: str):
        self.weights = weights
        self._model = model
        self._tokenizer = tokenizer
        self._size = model.visual.image_size[0]  # px

    def prepare(self, image: Image.Image) -> Any:
        """The whole image: its longer side made the model's, the rest black, never cropped.

        It is scaled as a tensor and smoothed where it shrinks, as torchvision does since 0.17;
        before that, the package did not smooth.
        """
        from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
        from torchvision.transforms import InterpolationMode, functional

        share = self._size / max(image.size)
        width, height = (max(1, round(side * share)) for side in image.size)
        pixels = functional.resize(
            functional.to_tensor(image), [height, width], InterpolationMode.BICUBIC, antialias=True
        )
        left, top = (self._size - width) // 2, (self._size - height) // 2
        right, bottom = self._size - width - left, self._size - height - top
        padded = functional.pad(pixels, [left, top, right, bottom])
        return functional.normalize(padded, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)

    def score(self, prepared: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        """100 x cosine similarity of each image with its prompt."""
        scores = self.compare(self.encode_images(prepared), self.encode_texts(prompts))
        return scores.tolist()

    def encode_images(self, prepared: Sequence[Any]) -> np.ndarray:
        """Unit embeddings (n x d, float32)."""
        import torch

        with torch.inference_mode():
            pixels = torch.stack(list(prepared)).to(device_of(self._model))
            return self._model.encode_image(pixels, normalize=True).cpu().numpy()

    def encode_texts(self, prompts: Sequence[str]) -> np.ndarray:
        """Unit embeddings (n x d, float32); of a long prompt only the beginning is read."""
        import torch

        with torch.inference_mode():
            tokens = self._tokenizer(list(prompts)).to(device_of(self._model))
            return self._model.encode_text(tokens, normalize=True).cpu().numpy()

    def compare(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """100 x cosine (n) of embeddings at the same place."""
        return SCALE * (images.astype(np.float64) * texts).sum(axis=1)

    def is_truncated(self, prompt: str) -> bool:
        """Whether the prompt has more tokens than the 75 read between beginning and end."""
        return len(self._tokenizer.encode(prompt)) > self._tokenizer.context_length - 2


def _locate(weights: str | None) -> Place:
    return locate_file(weights or WEIGHTS, VERSIONS)
