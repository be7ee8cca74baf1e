"""Aesthetic score: how much people liked images that look like this one; the prompt is not read.

Source: Schuhmann (2022), improved-aesthetic-predictor (LAION aesthetics v2): linear layers on the
unit image embedding of OpenAI's CLIP ViT-L/14, fitted to ratings of 1 to 10.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from evalkit.errors import ModelError, listed
from evalkit.metrics.loading import open_clip_weights
from evalkit.metrics.loading.linear_head import linear_head
from evalkit.metrics.loading.open_clip_weights import CONFIG_NAME, OpenClip
from evalkit.metrics.loading.packages import require_package
from evalkit.metrics.loading.places import TENSOR_FILES, Place, locate_file, locate_folder
from evalkit.metrics.loading.tensors import device_of, read_tensors, ready
from evalkit.metrics.registry import Card
from evalkit.study import Study

# sac+logos+ava1-l14-linearMSE.pth under another name
WEIGHTS = "trl-lib/ddpo-aesthetic-predictor/aesthetic-model.pth"
CLIP_WEIGHTS = "ViT-L-14/openai"
CARD = Card(
    kind="image",
    weights=WEIGHTS,
    licence="Apache-2.0 (its CLIP: MIT)",
    range="about 1 to 10, mostly 4 to 7",
    source="Schuhmann 2022, improved-aesthetic-predictor; Schuhmann et al. 2022, LAION-5B",
)


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the scores; see `load`."""
    return _locate(weights)[0].name


def load(weights: str | None, study: Study, device: str | None = None) -> "AestheticScorer":
    """The scorer with this head: a file, here or on the hub; or a local folder with its CLIP too.

    A file is a head for OpenAI's CLIP ViT-L/14, which open_clip fetches. A folder holds a CLIP in
    open_clip's own layout (its config and a checkpoint) and the head, the one other file of
    tensors. Runs in float32, on the first CUDA device where no device is named and there is one.
    Raises ModelError, one sentence.
    """
    require_package("torch", "aesthetic")
    require_package("open_clip", "aesthetic")
    place, clip_weights = _locate(weights)
    tensors = read_tensors(place)
    clip = open_clip_weights.load(clip_weights, device, "aesthetic")
    head = linear_head(tensors, clip.model.visual.output_dim, place.name)
    return AestheticScorer(clip, ready(head, device), place.name)


class AestheticScorer:
    """A CLIP's image encoder and a linear head."""

    batch_size = 32

    def __init__(self, clip: OpenClip, head: Any, weights: str):
        self.weights = weights
        self._clip = clip
        self._head = head

    def prepare(self, image: Image.Image) -> Any:
        """The image as the CLIP's own preprocessing makes it."""
        return self._clip.preprocess(image)

    def score(self, prepared: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        """The predicted rating of each image; the prompts are not read."""
        import torch

        with torch.inference_mode():
            pixels = torch.stack(list(prepared)).to(device_of(self._head))
            embeddings = self._clip.model.encode_image(pixels, normalize=True)
            return self._head(embeddings)[:, 0].double().tolist()

    def is_truncated(self, prompt: str) -> bool:
        """Never: no prompt is read."""
        return False


def _locate(weights: str | None) -> tuple[Place, str]:
    """Where the head lies, and the weights of its CLIP."""
    weights = weights or WEIGHTS
    if Path(weights).is_dir():
        folder = locate_folder(weights, ())
        return Place(_head_file(folder.path), folder.name), weights
    return locate_file(weights), CLIP_WEIGHTS


def _head_file(folder: Path) -> Path:
    files = [path for path in sorted(folder.iterdir()) if path.suffix in TENSOR_FILES]
    heads = [path for path in files if not path.name.startswith("open_clip")]
    if not (folder / CONFIG_NAME).is_file() or len(heads) != 1:
        raise ModelError(
            f"score: {folder} is no folder of aesthetic weights (it has "
            f"{listed(path.name for path in sorted(folder.iterdir()))}); it holds {CONFIG_NAME}, "
            "open_clip_model.safetensors and one more file of tensors, the head; complete it"
        )
    return heads[0]
