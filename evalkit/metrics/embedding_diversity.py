"""Embedding diversity: the mean cosine distance of CLIP embeddings of a prompt's images.

Over pairs of seeds. 0 where all images are alike to CLIP, 1 where they share no direction, at most
2. It sees another object or style, and hardly another pose; diversity is no quality. Two numbers
compare only under the same weights. Source: Radford et al. 2021 (CLIP).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from evalkit.metrics import clip_score
from evalkit.metrics.loading import open_clip_weights
from evalkit.metrics.registry import Card, DualEncoder
from evalkit.study import Study

CARD = Card(
    kind="spread",
    weights=clip_score.PAPER_WEIGHTS,
    licence="MIT (ViT-g-14 of LAION-2B, and OpenAI's)",
    range="0 to 2",
    source="CLIP: Radford et al. 2021",
)


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the table."""
    return open_clip_weights.identify(_weights(weights, study), "embedding_diversity")


def load(weights: str | None, study: Study, device: str | None = None) -> "EmbeddingDiversity":
    """The metric with the weights and defaults of clip_score; see there. Raises ModelError."""
    clip = open_clip_weights.load(_weights(weights, study), device, "embedding_diversity")
    return EmbeddingDiversity(clip_score.ClipScorer(clip))


def _weights(weights: str | None, study: Study) -> str:
    return weights or clip_score.default_weights(study)


class EmbeddingDiversity:
    """The mean of one less the cosine over all pairs of a prompt's images."""

    def __init__(self, encoder: DualEncoder):
        self.weights = encoder.weights
        self.batch_size = encoder.batch_size
        self._encoder = encoder

    def prepare(self, image: Image.Image) -> Any:
        """The image as the encoder's own preprocessing makes it."""
        return self._encoder.prepare(image)

    def spread(self, prepared: Sequence[Any]) -> float:
        """The mean cosine distance (0 to 2) over all pairs of two or more images."""
        parts = [
            self._encoder.encode_images(prepared[start : start + self.batch_size])
            for start in range(0, len(prepared), self.batch_size)
        ]
        units = np.concatenate(parts).astype(np.float64)
        first, second = np.triu_indices(len(units), k=1)
        return float(np.mean(1 - np.sum(units[first] * units[second], axis=1)))
