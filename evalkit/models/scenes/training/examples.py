"""The endless training set: seeded scenes, and captions with now and then a stray word."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from evalkit.models.scenes.scene import Scene, draw_scene

SEED = 20_260
FILLER_SHARE = 0.15
OPENINGS = (
    "a photo of", "a picture of", "an image of", "a drawing of", "a painting of", "there is",
    "a simple picture of", "an illustration of", "a cute drawing of", "a photograph of",
)  # fmt: skip


def training_scene(index: int) -> Scene:
    """Scene number `index` of the endless training set: no held-out pair, no reserved scene."""
    return draw_scene(np.random.default_rng([SEED, index]))


@cache
def english_words() -> list[str]:
    """Common English words that the tokenizer knows whole."""
    text = (Path(__file__).parent / "english_words.txt").read_text()
    return list(dict.fromkeys(text.split()))


def add_filler(caption: str, rng: np.random.Generator) -> str:
    """The caption, sometimes with an opening or stray words, so that free text does no harm."""
    if rng.random() >= FILLER_SHARE:
        return caption
    if rng.random() < 0.6:
        caption = f"{rng.choice(OPENINGS)} {caption}"
    if rng.random() < 0.6:
        strays = rng.choice(english_words(), size=int(rng.integers(1, 4)))
        caption = f"{caption}, {' '.join(strays)}"
    return caption
