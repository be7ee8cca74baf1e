"""VQAScore: how likely a vision-language model is to answer Yes when asked for the prompt.

The question is `Does this figure show "PROMPT"? Please answer yes or no.`, and the score is the
probability that the reply begins with the token "Yes", over the whole vocabulary: neither "yes" nor
" Yes" counts, and it is not normalised over yes and no. Range 0 to 1; two numbers compare only
under the same weights. Source: Lin et al. 2024, who asked CLIP-FlanT5.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from evalkit.metrics.loading.vision_language import (
    DEFAULT,
    VisionLanguageModel,
    identify_vision_language,
    load_vision_language,
)
from evalkit.metrics.registry import Card
from evalkit.study import Study

QUESTION = 'Does this figure show "{prompt}"? Please answer yes or no.'
ANSWER = "Yes"
CARD = Card(
    kind="image",
    weights=DEFAULT,
    licence="Apache-2.0",
    range="0 to 1",
    source="Lin et al. 2024, Evaluating Text-to-Visual Generation with Image-to-Text Generation",
)


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the table; see `load_vision_language`."""
    return identify_vision_language(weights)


def load(weights: str | None, study: Study, device: str | None = None) -> "VqaScorer":
    """The scorer; see `load_vision_language` for the rest. Raises ModelError, one sentence."""
    model = load_vision_language(weights, "vqa_score", device)
    model.require_tokens(ANSWER)
    return VqaScorer(model)


class VqaScorer:
    """A vision-language model that is asked whether an image shows its prompt."""

    batch_size = 8

    def __init__(self, model: VisionLanguageModel):
        self.weights = model.weights
        self._model = model

    def prepare(self, image: Image.Image) -> Image.Image:
        """The image as it is: the model's processor takes images and words together."""
        return image

    def score(self, prepared: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        """The probability (0 to 1) of Yes for each image and its prompt."""
        asked = [
            (image, QUESTION.format(prompt=prompt))
            for image, prompt in zip(prepared, prompts, strict=True)
        ]
        return np.exp(self._model.log_probabilities(asked, [ANSWER])[:, 0]).tolist()

    def is_truncated(self, prompt: str) -> bool:
        """Never: a prompt is read to its end."""
        return False
