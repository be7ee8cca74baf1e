"""Scene attributes: the share of what a scene caption asks for that a classifier finds drawn.

Range 0 to 1. Only for captions of the built-in scenes; the classifier comes with evalkit.
"""

from collections.abc import Sequence
from importlib.util import find_spec

from PIL import Image

from evalkit.errors import ModelError
from evalkit.metrics.registry import Card
from evalkit.study import Study

WEIGHTS = "scenes-attributes"
CARD = Card(
    kind="image",
    weights=WEIGHTS,
    licence="Apache-2.0",
    range="0 to 1",
    source="trained for evalkit; see the card of the built-in models",
)


def identify(weights: str | None, study: Study) -> str:
    """`scenes-attributes`, its only weights; ModelError on others."""
    if weights not in (None, WEIGHTS):
        raise ModelError(
            f'score: unknown weights "{weights}" for scene_attributes; allowed is {WEIGHTS}'
        )
    return WEIGHTS


def load(weights: str | None, study: Study) -> "SceneAttributesScorer":
    """The scorer; see `identify`.

    Raises ModelError on other weights, or without torch; scoring raises EvalkitError on a caption
    that the scenes have no words for.
    """
    identify(weights, study)
    if find_spec("torch") is None:
        raise ModelError(
            "score: scene_attributes needs the package torch, which is not installed; "
            'run: pip install "evalkit[metrics]"'
        )
    return SceneAttributesScorer()


class SceneAttributesScorer:
    """The classifier that measures the built-in family, as a metric."""

    weights = WEIGHTS
    batch_size = 64

    def prepare(self, image: Image.Image) -> Image.Image:
        """The image as it is."""
        return image

    def score(self, prepared: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        """Share (0 to 1) of each caption's attributes that its image shows."""
        from evalkit.models.scenes.attributes import attribute_accuracy

        return attribute_accuracy(list(prepared), list(prompts))

    def is_truncated(self, prompt: str) -> bool:
        """Never: a caption is read to its end."""
        return False
