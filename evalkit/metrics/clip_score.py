"""CLIP score: 100 times the cosine similarity of image and prompt, by open_clip; never clipped.

Source: Hessel et al. (2021), CLIPScore, without its factor 2.5 and without its floor at zero, so
that the paper's .326 is 32.6 here. Range -100 to 100. Two numbers compare only under the same
weights.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from evalkit.errors import ModelError, listed, nearest
from evalkit.metrics.registry import Card
from evalkit.models import DiffusionModel
from evalkit.models.catalogue import checkpoint_path
from evalkit.study import Study

PAPER_WEIGHTS = "ViT-g-14/laion2b_s34b_b88k"
BUILT_IN = "scenes-clip"
CONFIG_NAME = "open_clip_config.json"
SCALE = 100.0
CARD = Card(
    kind="image",
    weights=PAPER_WEIGHTS,
    licence="MIT (ViT-g-14 of LAION-2B, and OpenAI's)",
    range="-100 to 100",
    source="Hessel et al. 2021, CLIPScore",
)


def load(weights: str | None, study: Study) -> "ClipScorer":
    """The scorer with these weights: `architecture/pretrained`, a local folder, or `scenes-clip`.

    None is `scenes-clip` where every model of the study is of the built-in scenes family, else the
    paper's ViT-g-14/laion2b_s34b_b88k. A local folder has open_clip's own layout (its config and a
    checkpoint) and is named in the scores by its name and the checkpoint's hash. Runs in float32,
    on the first CUDA device where there is one. Raises ModelError, one sentence.
    """
    weights = weights or default_weights(study)
    open_clip = _import_open_clip()
    if weights == BUILT_IN:
        return _load_folder(Path(checkpoint_path(f"built-in:{BUILT_IN}")), BUILT_IN, open_clip)
    if Path(weights).is_dir():
        return _load_folder(Path(weights), None, open_clip)
    return _load_named(weights, open_clip)


def default_weights(study: Study) -> str:
    """The weights used where none are named; see `load`."""
    built_in = all(
        isinstance(model, DiffusionModel) and model.repository.startswith("built-in:scenes-")
        for model in study.models
    )
    return BUILT_IN if built_in else PAPER_WEIGHTS


class ClipScorer:
    """An open_clip model with its own preprocessing and tokenizer; encodes each prompt once."""

    batch_size = 32

    def __init__(self, model: Any, preprocess: Callable, tokenizer: Callable, weights: str):
        self.weights = weights
        self._model = model.eval()
        self._preprocess = preprocess
        self._tokenizer = tokenizer
        self._prompts: dict[str, Any] = {}  # prompt -> its normalised embedding

    def prepare(self, image: Image.Image) -> Any:
        """The image as the model's own preprocessing makes it."""
        return self._preprocess(image)

    def score(self, prepared: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        """100 x cosine similarity of each image with its prompt, from the image's own pixels."""
        import torch

        self._encode_new(prompts)
        with torch.inference_mode():
            pixels = torch.stack(list(prepared)).to(self._device)
            pictures = self._model.encode_image(pixels, normalize=True)
            texts = torch.stack([self._prompts[prompt] for prompt in prompts])
            return (SCALE * (pictures * texts).sum(dim=-1)).double().tolist()

    def is_truncated(self, prompt: str) -> bool:
        """Whether the prompt has more tokens than the text encoder reads.

        Found by room for one more token: then the end token moves, or text stands where padding
        would.
        """
        length = self._tokenizer.context_length
        seen = self._tokenizer([prompt], context_length=length)[0]
        longer = self._tokenizer([prompt], context_length=length + 1)[0]
        padding = self._tokenizer([""], context_length=length + 1)[0, -1]
        return not seen.equal(longer[:length]) or bool(longer[-1] != padding)

    def _encode_new(self, prompts: Sequence[str]) -> None:
        import torch

        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._prompts]
        if new:
            with torch.inference_mode():
                tokens = self._tokenizer(new).to(self._device)
                embeddings = self._model.encode_text(tokens, normalize=True)
            self._prompts.update(zip(new, embeddings, strict=True))

    @property
    def _device(self) -> Any:
        return next(self._model.parameters()).device


def _import_open_clip() -> Any:
    try:
        import open_clip
    except ImportError:
        raise ModelError(
            "score: clip_score needs the package open_clip, which is not installed; "
            'run: pip install "evalkit[metrics]"'
        ) from None
    return open_clip


def _load_folder(folder: Path, name: str | None, open_clip: Any) -> ClipScorer:
    if not (folder / CONFIG_NAME).is_file():
        raise ModelError(
            f"score: {folder} has no {CONFIG_NAME}; a local folder of CLIP weights holds it beside "
            "open_clip_model.safetensors; name such a folder"
        )
    name = name or f"{folder.resolve().name}@{_hash(folder)}"
    return _create(f"local-dir:{folder}", None, False, name, open_clip)


def _load_named(weights: str, open_clip: Any) -> ClipScorer:
    architecture, _, pretrained = weights.partition("/")
    architectures = open_clip.list_models()
    if architecture not in architectures:
        raise ModelError(
            f'score: unknown weights "{weights}"; allowed are {BUILT_IN}, a local folder, or '
            f"architecture/pretrained as open_clip lists them, for example {PAPER_WEIGHTS}"
            f"{nearest(architecture, [BUILT_IN, *architectures])}"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if pretrained not in tags:
        raise ModelError(
            f'score: unknown weights "{weights}"; {architecture} has {listed(tags)}'
            f"{nearest(pretrained, tags)}"
        )
    # open_clip leaves GELU in place for weights that were trained with QuickGELU, such as OpenAI's
    quick_gelu = bool(open_clip.get_pretrained_cfg(architecture, pretrained).get("quick_gelu"))
    return _create(architecture, pretrained, quick_gelu, weights, open_clip)


def _create(
    source: str, pretrained: str | None, quick_gelu: bool, name: str, open_clip: Any
) -> ClipScorer:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model, preprocess = open_clip.create_model_from_pretrained(
            source, pretrained, precision="fp32", device=device, force_quick_gelu=quick_gelu
        )
        tokenizer = open_clip.get_tokenizer(source)
    except Exception as error:  # every kind of network, file and shape failure, with one remedy
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ModelError(
            f'score: the weights "{name}" could not be loaded ({type(error).__name__}: {reason}); '
            "allowed are weights that the hub can be reached for, a local folder, or "
            f"{BUILT_IN}; name one of them"
        ) from None
    return ClipScorer(model, preprocess, tokenizer, name)


def _hash(folder: Path) -> str:
    """12 hex digits over the config and the checkpoints, so other weights are named otherwise."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".bin", ".pth", ".pt"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
