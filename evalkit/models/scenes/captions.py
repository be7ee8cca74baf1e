"""The words of a scene: scene to caption, and caption back to the attributes it asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.models.scenes.scene import COLOURS, OPPOSITE, RADII, SHAPES, Scene, Thing

SIZE_DROPPED_SHARE = 0.2
BACKGROUND_DROPPED_SHARE = 0.12
TURNED_SHARE = 0.3
RELATION_PHRASES = {
    "left": ("to the left of", "left of", "on the left of"),
    "right": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "beneath"),
}
BACKGROUND_PHRASES = {
    "grey": ("on a grey background", "in front of a grey wall"),
    "grass": ("on grass", "in a meadow", "on a green lawn"),
    "sky": ("in the sky", "in a blue sky with clouds"),
    "night": ("at night", "in a starry night"),
    "sunset": ("at sunset", "in the evening sky"),
    "sea": ("at sea", "in the water"),
}


@dataclass(frozen=True)
class AskedThing:
    """What a caption says of one thing; size is None where the caption names none."""

    colour: str
    shape: str
    size: str | None


@dataclass(frozen=True)
class Asked:
    """What a caption asks for; `relation` says where the first thing is from the second."""

    things: tuple[AskedThing, ...]
    relation: str | None
    background: str | None


def write_caption(scene: Scene, rng: np.random.Generator, *, full: bool = False) -> str:
    """One caption in lower case; unless `full`, sizes and background may be left out."""
    relation, things = scene.relation, scene.things
    if relation is not None and rng.random() < TURNED_SHARE:
        relation, things = OPPOSITE[relation], things[::-1]
    words = [
        _thing_words(thing, with_size=full or _keep(rng, SIZE_DROPPED_SHARE)) for thing in things
    ]
    text = words[0]
    if relation is not None:
        text = f"{words[0]} {rng.choice(RELATION_PHRASES[relation])} {words[1]}"
    if full or _keep(rng, BACKGROUND_DROPPED_SHARE):
        comma = ", " if rng.random() < 0.3 else " "
        text = f"{text}{comma}{rng.choice(BACKGROUND_PHRASES[scene.background])}"
    return text


def _keep(rng: np.random.Generator, dropped_share: float) -> bool:
    return rng.random() >= dropped_share


def _thing_words(thing: Thing, *, with_size: bool) -> str:
    words = [thing.size, thing.colour, thing.shape] if with_size else [thing.colour, thing.shape]
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])


def _any_of(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_THING = (
    rf"(?:an?|the) (?:({_any_of(tuple(RADII))}) )?({_any_of(tuple(COLOURS))}) ({_any_of(SHAPES)})"
)
_RELATION_OF = {phrase: name for name, phrases in RELATION_PHRASES.items() for phrase in phrases}
_BACKGROUND_OF = {
    phrase: name for name, phrases in BACKGROUND_PHRASES.items() for phrase in phrases
}
_CAPTION = re.compile(
    rf"{_THING}(?: ({_any_of(tuple(_RELATION_OF))}) {_THING})?"
    rf"(?:,? ({_any_of(tuple(_BACKGROUND_OF))}))?\.?"
)


def parse_caption(caption: str) -> Asked:
    """The attributes that a caption of the scene grammar asks for.

    Raises EvalkitError for text outside the grammar.
    """
    match = _CAPTION.fullmatch(" ".join(caption.lower().split()))
    if match is None:
        raise EvalkitError(
            f"prompt {caption!r}: not a caption of a scene; allowed are captions such as "
            "'a small red circle to the left of a blue house on grass'; use the built-in prompts"
        )
    size, colour, shape, relation, size_2, colour_2, shape_2, background = match.groups()
    things = [AskedThing(colour, shape, size)]
    if relation is not None:
        things.append(AskedThing(colour_2, shape_2, size_2))
    return Asked(
        things=tuple(things),
        relation=None if relation is None else _RELATION_OF[relation],
        background=None if background is None else _BACKGROUND_OF[background],
    )
