"""A scene: one or two coloured shapes on a background, drawn at random from a seeded generator."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

SIDE = 96
SHAPES = ("circle", "square", "star", "heart", "house", "tree")
COLOURS = {
    "red": (214, 40, 40),
    "orange": (245, 135, 20),
    "yellow": (250, 215, 40),
    "green": (40, 160, 60),
    "blue": (45, 90, 220),
    "purple": (130, 60, 170),
    "pink": (250, 130, 190),
    "white": (248, 248, 248),
}
RADII = {"small": 14, "large": 20}
BACKGROUNDS = ("grey", "grass", "sky", "night", "sunset", "sea")
RELATIONS = ("left", "right", "above", "below")
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
HELD_OUT = frozenset(
    {
        ("red", "house"),
        ("orange", "star"),
        ("yellow", "heart"),
        ("green", "circle"),
        ("blue", "tree"),
        ("purple", "square"),
        ("pink", "circle"),
        ("white", "heart"),
    }
)
NO_WHITE_ON = ("sky", "night")
TWO_OBJECTS_SHARE = 0.62
RESERVED_ONE_IN = 10


@dataclass(frozen=True)
class Thing:
    """One object: its words and its centre in pixels (x to the right, y down, 0 to 96)."""

    shape: str
    colour: str
    size: str
    x: float
    y: float

    @property
    def pair(self) -> tuple[str, str]:
        """Colour and shape, the pair that may be held out of training."""
        return self.colour, self.shape


@dataclass(frozen=True)
class Scene:
    """A background and one or two things; `relation` says where the first is from the second."""

    background: str
    things: tuple[Thing, ...]
    relation: str | None
    seed: int

    @property
    def key(self) -> str:
        """The scene's words in one fixed order, without positions: equal keys, equal captions."""
        words = [f"{thing.size} {thing.colour} {thing.shape}" for thing in self.things]
        relation = self.relation
        if relation in ("right", "below"):
            words, relation = words[::-1], OPPOSITE[relation]
        return f"{f' {relation} '.join(words)} {self.background}"

    @property
    def held_out(self) -> bool:
        """True if any thing is of a colour-shape pair that training never shows."""
        return any(thing.pair in HELD_OUT for thing in self.things)

    @property
    def reserved(self) -> bool:
        """True for one key in ten: these scenes are kept for prompts and never trained on."""
        return zlib.crc32(self.key.encode()) % RESERVED_ONE_IN == 0


def draw_scene(
    rng: np.random.Generator, *, held_out: bool = False, reserved: bool = False, count: int = 0
) -> Scene:
    """Draw a scene; with `held_out` at least one pair is held out, without it none is.

    `reserved` draws from the scenes kept for prompts, else from those for training.
    `count` is 1 or 2 things, 0 draws the number.
    """
    while True:
        scene = _draw_any(rng, count)
        if scene.held_out == held_out and scene.reserved == reserved and _is_legible(scene):
            return scene


def _draw_any(rng: np.random.Generator, count: int) -> Scene:
    two = rng.random() < TWO_OBJECTS_SHARE if count == 0 else count == 2
    background = str(rng.choice(BACKGROUNDS))
    relation = str(rng.choice(RELATIONS)) if two else None
    things = tuple(
        Thing(
            shape=str(rng.choice(SHAPES)),
            colour=str(rng.choice(tuple(COLOURS))),
            size=str(rng.choice(tuple(RADII))),
            x=x,
            y=y,
        )
        for x, y in _centres(rng, relation)
    )
    return Scene(background, things, relation, seed=int(rng.integers(2**31)))


def _centres(rng: np.random.Generator, relation: str | None) -> list[tuple[float, float]]:
    """Centres in pixels for one thing (no relation) or for two."""
    if relation is None:
        return [tuple(float(v) for v in 48 + rng.uniform(-8, 8, size=2))]
    near, far = (float(v) for v in np.array([25.5, 70.5]) + rng.uniform(-2, 2, size=2))
    first, second = (float(v) for v in 48 + rng.uniform(-7, 7, size=2))
    if relation in ("left", "right"):
        centres = [(near, first), (far, second)]
    else:
        centres = [(first, near), (second, far)]
    return centres if relation in ("left", "above") else centres[::-1]


def _is_legible(scene: Scene) -> bool:
    """No white on pale or starry backgrounds, and two things differ in colour or shape."""
    if scene.background in NO_WHITE_ON and any(thing.colour == "white" for thing in scene.things):
        return False
    return len({thing.pair for thing in scene.things}) == len(scene.things)
