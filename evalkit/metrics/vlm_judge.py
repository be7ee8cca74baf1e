"""A vision-language model as a judge: it is shown two images, and asked the study's question.

The images are called A (shown first) and B. A judgement is the probability that the reply begins
with "A", against "B": from the two tokens alone, so that it is 0 to 1 whatever else the model might
say. A judge may prefer a place: ask in both orders, and see `analysis.judge_bias`. The method is
that of Zheng et al. 2023 (LLM-as-a-judge), with probabilities in place of a verdict.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.special import expit

from evalkit.errors import EvalkitError
from evalkit.metrics.loading.vision_language import (
    DEFAULT,
    Content,
    VisionLanguageModel,
    identify_vision_language,
    load_vision_language,
)
from evalkit.metrics.registry import Card
from evalkit.study import Study

ANSWERS = ("A", "B")
CARD = Card(
    kind="pair",
    weights=DEFAULT,
    licence="Apache-2.0",
    range="0 to 1",
    source="Zheng et al. 2023, Judging LLM-as-a-Judge",
)


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the table; see `load_vision_language`."""
    return identify_vision_language(weights)


def load(weights: str | None, study: Study, device: str | None = None) -> "VlmJudge":
    """The judge; see `load_vision_language` for the rest. Raises ModelError, one sentence."""
    model = load_vision_language(weights, "vlm_judge", device)
    model.require_tokens(*ANSWERS)
    return VlmJudge(model)


class VlmJudge:
    """A vision-language model that is asked which of two images answers a question better."""

    batch_size = 4

    def __init__(self, model: VisionLanguageModel):
        self.weights = model.weights
        self._model = model

    def prepare(self, image: Image.Image) -> Image.Image:
        """The image as it is: the model's processor takes images and words together."""
        return image

    def prefers_first(
        self,
        first: Sequence[Image.Image],
        second: Sequence[Image.Image],
        prompts: Sequence[str],
        question: str,
    ) -> list[float]:
        """Per pair, the probability (0 to 1) of the answer A, against B.

        A prompt that is empty is not mentioned. Raises EvalkitError where neither answer has a
        probability.
        """
        asked = [_content(*pair, question) for pair in zip(first, second, prompts, strict=True)]
        logs = self._model.log_probabilities(asked, ANSWERS)
        undecided = ~np.isfinite(logs.max(axis=1))  # both are -inf, or one is NaN
        if undecided.any():
            prompt = prompts[int(undecided.argmax())]
            raise EvalkitError(
                f'score: vlm_judge: neither answer has a probability on a pair of "{prompt}"; a '
                "judgement needs one of A and B; look at the images and the weights"
            )
        return expit(logs[:, 0] - logs[:, 1]).tolist()


def _content(first: Image.Image, second: Image.Image, prompt: str, question: str) -> Content:
    """What the judge is shown, in order."""
    made_for = f'Both images were made for the prompt "{prompt}". ' if prompt else ""
    ask = f"{made_for}{question} Answer with the letter A or B only."
    return ("Image A:", first, "Image B:", second, ask)
