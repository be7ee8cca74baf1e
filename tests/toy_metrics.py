"""Tiny metrics of every kind with honest arithmetic, and a study of grey images for them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit import tables
from evalkit.files import file_sha256
from evalkit.metrics import registry
from evalkit.metrics.registry import Card
from evalkit.study_folder import StudyFolder

ROOT = Path(__file__).parents[1]
PROMPTS = {"p1": "abc", "p2": "a longer text"}
QUESTIONS = {"quality": "Which is brighter?", "alignment": "Which is darker?"}


def image_of(shade: int, size: int = 8) -> Image.Image:
    return Image.new("RGB", (size, size), (shade, shade, shade))


def shade_of(image: Image.Image) -> float:
    return float(np.asarray(image)[0, 0, 0])


SHADES = {  # by model, prompt and seed
    (model, prompt, seed): 10 * place + 5
    for place, (model, prompt, seed) in enumerate(
        (model, prompt, seed)
        for model in ("light", "dark")
        for prompt in PROMPTS
        for seed in (0, 1)
    )
}


def make_folder(root: Path, seeds: tuple[int, ...] = (0, 1)) -> StudyFolder:
    """Two models, two prompts, grey images."""
    rows = []
    for (model, prompt, seed), shade in SHADES.items():
        if seed in seeds:
            name = f"{model}/{prompt}-{seed}.png"
            (root / "images" / model).mkdir(parents=True, exist_ok=True)
            image_of(shade).save(root / "images" / name)
            rows.append((f"{model}-{prompt}-{seed}", prompt, model, seed, name))
    images = pd.DataFrame(rows, columns=["image_id", "prompt_id", "model", "seed", "file_name"])
    images = images.assign(width=8, height=8, sha256="", seconds=0.1, status="ok")
    tables.write(images, root / "images.csv", tables.IMAGES)
    prompts = pd.DataFrame({"prompt_id": PROMPTS.keys(), "prompt": PROMPTS.values()})
    tables.write(prompts.assign(category="", challenge=""), root / "prompts.csv", tables.PROMPTS)
    questions = "".join(
        f'[[questions]]\nid = "{key}"\ntext = "{text}"\nshow_prompt = false\n'
        for key, text in QUESTIONS.items()
    )
    models = "".join(
        f'[models.{model}]\nimages = "{model}"\nwidth = 8\nheight = 8\n'
        for model in ("light", "dark")
    )
    (root / "study.toml").write_text(
        'name = "grey"\nseed = 1\n[prompts]\nsource = "prompts.csv"\n'
        f"[images]\nseeds = {list(seeds)}\n{models}{questions}"
    )
    return StudyFolder(root)


def list_hashes(folder: StudyFolder) -> None:
    """images.csv with the hash of each image, as generation writes it."""
    images = folder.read_images()
    hashes = [file_sha256(folder.images / name) for name in images["file_name"]]
    tables.write(images.assign(sha256=hashes), folder.images_file, tables.IMAGES)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_folder(tmp_path / "study")


def card(kind: str) -> Card:
    return Card(kind=kind, weights="w", licence="none", range="any", source="arithmetic")


class Counting:
    """What a metric was asked, over all instances."""

    weights = "w@1"
    batch_size = 3
    calls: list[int]

    def prepare(self, image: Image.Image) -> float:
        return shade_of(image)

    def is_truncated(self, prompt: str) -> bool:
        return len(prompt) > 5


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch):
    """Puts a metric of this kind and class in the place of `toy`; gives what loads and calls."""

    def place(kind: str, metric: type, name: str = "w@1") -> SimpleNamespace:
        seen = SimpleNamespace(loads=0, calls=[])
        metric.calls = seen.calls

        def load(weights: str | None, study: object) -> object:
            seen.loads += 1
            return metric()

        module = SimpleNamespace(CARD=card(kind), load=load, identify=lambda weights, study: name)
        monkeypatch.setattr(registry, "metric_names", lambda kind=None: ["toy"])
        monkeypatch.setattr(registry, "import_module", lambda name: module)
        seen.module = module
        return seen

    return place


class Brightness(Counting):
    """The shade times the length of the prompt."""

    def score(self, prepared: list[float], prompts: list[str]) -> list[float]:
        self.calls.append(len(prepared))
        return [shade * len(prompt) for shade, prompt in zip(prepared, prompts, strict=True)]


class Angles(Counting):
    """Images and texts on a circle, by shade and by length."""

    def encode_images(self, prepared: list[float]) -> np.ndarray:
        self.calls.append(("image", len(prepared)))
        return circle(np.array(prepared) / 100)

    def encode_texts(self, prompts: list[str]) -> np.ndarray:
        self.calls.append(("text", len(prompts)))
        return circle(np.array([len(prompt) for prompt in prompts]) / 10)

    def compare(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        return 10 * (images * texts).sum(axis=1)

    def score(self, prepared: list[float], prompts: list[str]) -> list[float]:
        raise AssertionError("an encoder is asked for embeddings")


def circle(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class Preferring(Counting):
    """Prefers the brighter (or the darker, by the question) by its share, and the first place."""

    def prefers_first(
        self, first: list[float], second: list[float], prompts: list[str], question: str
    ) -> list[float]:
        self.calls.append((len(first), question))
        shares = [a / (a + b) for a, b in zip(first, second, strict=True)]
        if question == QUESTIONS["alignment"]:
            shares = [1 - share for share in shares]
        return [min(1.0, share + 0.1) for share in shares]


class MeanGap(Counting):
    """The gap between mean shades; an interval of one around it."""

    method = "gap of means"

    def features(self, prepared: list[float]) -> np.ndarray:
        self.calls.append(len(prepared))
        return np.array(prepared, dtype=np.float32)[:, None]

    def distance(self, images: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
        gap = abs(float(images.mean() - reference.mean()))
        return gap, gap - 1, gap + 1


class Range(Counting):
    """The mean difference over pairs of shades."""

    def spread(self, prepared: list[float]) -> float:
        self.calls.append(len(prepared))
        gaps = [abs(a - b) for place, a in enumerate(prepared) for b in prepared[place + 1 :]]
        return sum(gaps) / len(gaps)


def npz(folder: StudyFolder, what: str = "*") -> list[Path]:
    return sorted(folder.cache.glob(f"toy/*/{what}/*.npz"))
