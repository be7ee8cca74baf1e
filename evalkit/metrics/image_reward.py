"""ImageReward: a BLIP that reads prompt and image together, and a head tuned to people's rankings.

Source: Xu et al. (2023), ImageReward, and its package `image-reward`. The score is the published
one: the head's number less its mean over the training data, in standard deviations of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from evalkit.errors import ModelError, listed
from evalkit.metrics.loading.blip import blip_encoders, part
from evalkit.metrics.loading.library import loading
from evalkit.metrics.loading.linear_head import linear_head
from evalkit.metrics.loading.packages import require_package
from evalkit.metrics.loading.places import TENSOR_FILES, Place, locate_file, locate_folder
from evalkit.metrics.loading.tensors import device_of, read_tensors, ready
from evalkit.metrics.loading.words import require_words
from evalkit.metrics.registry import Card
from evalkit.study import Study

WEIGHTS = "zai-org/ImageReward/ImageReward.pt"
TOKENIZER = "google-bert/bert-base-uncased"
TOKENS = 35  # of a prompt, the first and the last among them
MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072  # of the head, published with it
CARD = Card(
    kind="image",
    weights=WEIGHTS,
    licence="Apache-2.0",
    range="the real line, mostly -2.5 to 2.5",
    source="Xu et al. 2023, ImageReward, arXiv:2304.05977",
)
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the scores; see `load`."""
    return _locate(weights)[0].name


def load(weights: str | None, study: Study, device: str | None = None) -> "ImageRewardScorer":
    """The scorer with these weights: a file, here or on the hub; or a folder with a tokenizer.

    A file is a checkpoint of ImageReward under its published names of tensors; its tokenizer is
    that of bert-base-uncased, from the hub. A folder holds one such file and the tokenizer's files.
    Runs in float32, on the first CUDA device where no device is named and there is one. Raises
    ModelError, one sentence.
    """
    for package in ("torch", "torchvision", "transformers"):
        require_package(package, "image_reward")
    place, words = _locate(weights)
    tensors = read_tensors(place)
    vision, text = blip_encoders(tensors, place.name)
    head = linear_head(part(tensors, "mlp."), text.config.hidden_size, place.name)
    models = [ready(model, device) for model in (vision, text, head)]
    return ImageRewardScorer(*models, _load_tokenizer(words), place.name)


class ImageRewardScorer:
    """BLIP's encoders of transformers under the head of ImageReward."""

    batch_size = 16

    def __init__(self, vision: Any, text: Any, head: Any, tokenizer: Any, weights: str):
        self.weights = weights
        self._vision = vision
        self._text = text
        self._head = head
        self._tokenizer = tokenizer
        self._size = vision.config.image_size  # px

    def prepare(self, image: Image.Image) -> Any:
        """The middle square of the image, scaled to the model's size by Pillow."""
        from torchvision.transforms import InterpolationMode, functional

        scaled = functional.resize(image, self._size, InterpolationMode.BICUBIC)
        square = functional.to_tensor(functional.center_crop(scaled, self._size))
        return functional.normalize(square, _CLIP_MEAN, _CLIP_DEVIATION)

    def score(self, prepared: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        """The reward of each image for its prompt, in standard deviations of the training data."""
        import torch

        tokens = self._tokenizer(
            list(prompts),
            padding="max_length",
            truncation=True,
            max_length=TOKENS,
            return_tensors="pt",
        ).to(device_of(self._text))
        with torch.inference_mode():
            pixels = torch.stack(list(prepared)).to(device_of(self._vision))
            seen = self._vision(pixel_values=pixels).last_hidden_state
            read = self._text(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                encoder_hidden_states=seen,
                encoder_attention_mask=torch.ones(seen.shape[:2], device=seen.device).long(),
                is_decoder=False,  # every word sees every other
                use_cache=False,
            ).last_hidden_state
            rewards = self._head(read[:, 0])[:, 0]
        return ((rewards.double() - MEAN) / DEVIATION).tolist()

    def is_truncated(self, prompt: str) -> bool:
        """Whether the prompt has more than 35 tokens, of which only the beginning is read."""
        return len(self._tokenizer(prompt, verbose=False)["input_ids"]) > TOKENS


def _locate(weights: str | None) -> tuple[Place, Place]:
    """Where the checkpoint lies, and where its tokenizer does."""
    weights = weights or WEIGHTS
    if Path(weights).is_dir():
        words = locate_folder(weights, ())
        return Place(_checkpoint(words.path), words.name), words
    return locate_file(weights), locate_folder(TOKENIZER, _TOKENIZER_FILES)


def _load_tokenizer(words: Place) -> Any:
    from transformers import BertTokenizer

    with loading(words.name):
        tokenizer = BertTokenizer.from_pretrained(words.path)
    require_words(tokenizer, words.name)
    return tokenizer


def _checkpoint(folder: Path) -> Path:
    files = [path for path in sorted(folder.iterdir()) if path.suffix in TENSOR_FILES]
    if len(files) != 1:
        raise ModelError(
            f"score: {folder} is no folder of ImageReward weights (its files of tensors are "
            f"{listed(path.name for path in files)}); it holds one, such as ImageReward.pt, and "
            f"the tokenizer's files ({listed(_TOKENIZER_FILES)}); correct it"
        )
    return files[0]
