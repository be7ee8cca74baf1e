"""CLIP score: 100 times the cosine similarity of image and prompt, by open_clip; never clipped.

Source: Hessel et al. (2021), CLIPScore, without its factor 2.5 and without its floor at zero, so
that the paper's .326 is 32.6 here. Range -100 to 100. Two numbers compare only under the same
weights.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from evalkit.metrics.loading import open_clip_weights
from evalkit.metrics.loading.open_clip_weights import BUILT_IN, OpenClip
from evalkit.metrics.registry import Card
from evalkit.models import DiffusionModel
from evalkit.study import Study

PAPER_WEIGHTS = "ViT-g-14/laion2b_s34b_b88k"
SCALE = 100.0
_CPU_BATCH = 8
CARD = Card(
    kind="image",
    weights=PAPER_WEIGHTS,
    licence="MIT (ViT-g-14 of LAION-2B, and OpenAI's)",
    range="-100 to 100",
    source="Hessel et al. 2021, CLIPScore",
)


def default_weights(study: Study) -> str:
    """The weights used where none are named.

    `scenes-clip` where every model of the study is of the built-in scenes family, else the paper's
    ViT-g-14/laion2b_s34b_b88k.
    """
    built_in = all(
        isinstance(model, DiffusionModel) and model.repository.startswith("built-in:scenes-")
        for model in study.models
    )
    return BUILT_IN if built_in else PAPER_WEIGHTS


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the table; see `open_clip_weights`."""
    return open_clip_weights.identify(weights or default_weights(study))


def load(weights: str | None, study: Study, device: str | None = None) -> "ClipScorer":
    """The scorer with these weights (see `open_clip_weights`), or with those of `default_weights`.

    Runs in float32, on the first CUDA device where no device is named and there is one. Raises
    ModelError, one sentence.
    """
    return ClipScorer(open_clip_weights.load(weights or default_weights(study), device))


class ClipScorer:
    """An open_clip model with its own preprocessing and tokenizer, as a metric."""

    batch_size = 32

    def __init__(self, clip: OpenClip) -> None:
        self.weights = clip.weights
        self._clip = clip
        if self._device.type == "cpu":  # small batches are no slower there, and begin sooner
            self.batch_size = min(self.batch_size, _CPU_BATCH)

    def prepare(self, image: Image.Image) -> Any:
        """The image as the model's own preprocessing makes it."""
        return self._clip.preprocess(image)

    def encode_images(self, prepared: Sequence[Any]) -> np.ndarray:
        """Embeddings of length 1 (n x d, float32)."""
        import torch

        pixels = torch.stack(list(prepared))
        if self._device.type == "cuda":
            pixels = pixels.pin_memory()
        with torch.inference_mode():
            pixels = pixels.to(self._device, non_blocking=True)
            return self._clip.model.encode_image(pixels, normalize=True).float().cpu().numpy()

    def encode_texts(self, prompts: Sequence[str]) -> np.ndarray:
        """Embeddings of length 1 (n x d, float32); a prompt that is cut keeps its end token."""
        import torch

        with torch.inference_mode():
            tokens = self._clip.tokenizer(list(prompts)).to(self._device)
            return self._clip.model.encode_text(tokens, normalize=True).float().cpu().numpy()

    def compare(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """100 x cosine similarity (n) of each image with the text at the same place."""
        return SCALE * (images.astype(np.float64) * texts).sum(axis=1)

    def score(self, prepared: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        """100 x cosine similarity of each image with its prompt."""
        return self.compare(self.encode_images(prepared), self.encode_texts(prompts)).tolist()

    def is_truncated(self, prompt: str) -> bool:
        """Whether the prompt has more tokens than the text encoder reads."""
        return open_clip_weights.is_truncated(self._clip.tokenizer, prompt)

    @property
    def _device(self) -> Any:
        return next(self._clip.model.parameters()).device
