"""Reads colour, shape and place of the things in an image, and compares them with a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evalkit.models.scenes.captions import Asked, parse_caption
from evalkit.models.scenes.scene import COLOURS, SHAPES, SIDE

if TYPE_CHECKING:
    import torch
    from PIL import Image

WEIGHTS = Path(__file__).parent / "weights" / "scenes-attributes.safetensors"
CELL = 8
CELLS = SIDE // CELL
OUTPUTS = 1 + len(SHAPES) + len(COLOURS)
CENTRE_THRESHOLD = 0.4
NEIGHBOURHOOD = 2
BATCH = 64


@dataclass(frozen=True)
class SeenThing:
    """One thing found in an image; centre in pixels of a 96x96 image, confidence 0 to 1."""

    colour: str
    shape: str
    x: float
    y: float
    confidence: float


@dataclass(frozen=True)
class AttributeScores:
    """Which attributes of a caption an image shows; each a list of True or False."""

    shape: list[bool]
    colour: list[bool]
    count: list[bool]
    relation: list[bool]

    @property
    def all(self) -> list[bool]:
        """All attributes in one list: a shape and a colour per thing, the count, any relation."""
        return [*self.shape, *self.colour, *self.count, *self.relation]

    @property
    def share(self) -> float:
        """Share of the attributes that are right, 0 to 1."""
        return sum(self.all) / len(self.all)


def read_attributes(image: Image.Image) -> list[SeenThing]:
    """The things in one image of any size, most confident first; empty where nothing is seen."""
    return read_images([image])[0]


def read_images(images: Sequence[Image.Image]) -> list[list[SeenThing]]:
    """The things in each of several images."""
    import torch

    network, found = load_network(), []
    for start in range(0, len(images), BATCH):
        pixels = np.stack([_pixels(image) for image in images[start : start + BATCH]])
        with torch.no_grad():
            maps = network(torch.from_numpy(pixels)).numpy()
        found += [_things(one) for one in maps]
    return found


def attribute_accuracy(images: Sequence[Image.Image], captions: Sequence[str]) -> list[float]:
    """Share of each caption's attributes that its image shows, 0 to 1.

    Attributes are a shape and a colour per thing, the number of things, and the relation.
    Raises EvalkitError for a caption outside the scene grammar, ValueError for unequal lengths.
    """
    asked = [parse_caption(caption) for caption in captions]
    seen = read_images(images)
    return [score_attributes(a, s).share for a, s in zip(asked, seen, strict=True)]


def score_attributes(asked: Asked, seen: Sequence[SeenThing]) -> AttributeScores:
    """Compare what is asked with what is seen, under the assignment with the most attributes right.

    A thing that is missing has wrong shape, colour and relation; the count is then wrong as well.
    """
    padded = [*seen, *[None] * (len(asked.things) - len(seen))]
    tried = [
        _score_chosen(asked, seen, chosen) for chosen in permutations(padded, len(asked.things))
    ]
    return max(tried, key=lambda scores: sum(scores.all))


def _score_chosen(
    asked: Asked, seen: Sequence[SeenThing], chosen: tuple[SeenThing | None, ...]
) -> AttributeScores:
    pairs = list(zip(asked.things, chosen, strict=True))
    return AttributeScores(
        shape=[found is not None and found.shape == wanted.shape for wanted, found in pairs],
        colour=[found is not None and found.colour == wanted.colour for wanted, found in pairs],
        count=[len(seen) == len(asked.things)],
        relation=[] if asked.relation is None else [_stands(asked.relation, chosen)],
    )


def _stands(relation: str, chosen: tuple[SeenThing | None, ...]) -> bool:
    """Whether the first of two things is where the relation says, along the longer axis."""
    first, second = chosen
    if first is None or second is None:
        return False
    across, down = second.x - first.x, second.y - first.y
    if abs(across) >= abs(down):
        return relation == ("left" if across > 0 else "right")
    return relation == ("above" if down > 0 else "below")


def _pixels(image: Image.Image) -> np.ndarray:
    """An image as float32 in -1 to 1, shape (3, 96, 96)."""
    small = image.convert("RGB").resize((SIDE, SIDE), resample=4)  # 4 is Pillow's box filter
    return np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1


def _things(maps: np.ndarray) -> list[SeenThing]:
    """Things at the peaks of the centre map; `maps` has shape (15, 12, 12)."""
    centre = 1 / (1 + np.exp(-maps[0]))
    found = []
    for row, column in np.argwhere(centre > CENTRE_THRESHOLD):
        reach = NEIGHBOURHOOD
        top, left = max(0, row - reach), max(0, column - reach)
        around = centre[top : row + reach + 1, left : column + reach + 1]
        if centre[row, column] < around.max():
            continue
        shapes, colours = np.split(maps[1:, row, column], [len(SHAPES)])
        rows, columns = np.mgrid[top : top + around.shape[0], left : left + around.shape[1]]
        found.append(
            SeenThing(
                colour=tuple(COLOURS)[int(colours.argmax())],
                shape=SHAPES[int(shapes.argmax())],
                x=float(((columns + 0.5) * around).sum() / around.sum() * CELL),
                y=float(((rows + 0.5) * around).sum() / around.sum() * CELL),
                confidence=float(centre[row, column]),
            )
        )
    return sorted(found, key=lambda thing: -thing.confidence)


def build_network() -> torch.nn.Module:
    """The untrained network: images (n, 3, 96, 96) to maps (n, 15, 12, 12).

    The maps hold centre, shape and colour scores of 8x8 cells.
    """
    from torch import nn

    layers, before = [], 3
    for width, stride in ((24, 2), (40, 2), (64, 2), (64, 1), (80, 1), (80, 1)):
        layers += [nn.Conv2d(before, width, 3, stride, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.Conv2d(before, OUTPUTS, 1))


@cache
def load_network() -> torch.nn.Module:
    """The trained network in float32, ready to read."""
    from safetensors.torch import load_file

    network = build_network()
    network.load_state_dict({name: t.float() if t.is_floating_point() else t
                             for name, t in load_file(WEIGHTS).items()})  # fmt: skip
    return network.eval()
