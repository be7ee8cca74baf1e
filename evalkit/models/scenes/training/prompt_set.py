"""Draws prompts that training never saw: half of them with a held-out colour-shape pair."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evalkit.models.scenes.captions import write_caption
from evalkit.models.scenes.scene import Scene, draw_scene

CANDIDATES = 40
BUILT_IN_PROMPTS = 48
BUILT_IN_SEED = 2_048
KINDS = (
    ("one object", "seen"),
    ("two objects", "seen"),
    ("one object", "held-out"),
    ("two objects", "held-out"),
)
# Two objects as often as in training; few scenes of one object are kept from it.
CARD_KINDS = (*KINDS, *KINDS, ("two objects", "seen"), ("two objects", "held-out"))


@dataclass(frozen=True)
class ScenePrompt:
    """A prompt with its category (one or two objects), challenge (seen or held-out) and scene."""

    prompt: str
    category: str
    challenge: str
    scene: Scene


def draw_prompts(
    size: int, seed: int, kinds: tuple[tuple[str, str], ...] = KINDS
) -> list[ScenePrompt]:
    """Prompts of the kinds in turn, spread evenly over words.

    No scene comes twice. Training never draws one of them in any wording: those without a held-out
    pair are of the reserved scenes.
    """
    rng, used, prompts = np.random.default_rng(seed), Counter(), {}
    while len(prompts) < size:
        category, challenge = kinds[len(prompts) % len(kinds)]
        scenes = [
            draw_scene(
                rng,
                held_out=challenge == "held-out",
                reserved=challenge == "seen",
                count=1 if category == "one object" else 2,
            )
            for _ in range(CANDIDATES)
        ]
        scenes = [scene for scene in scenes if scene.key not in prompts]
        if not scenes:
            continue
        scene = min(scenes, key=lambda one: np.mean([used[word] for word in _words(one)]))
        caption = write_caption(scene, rng, full=True)
        prompts[scene.key] = ScenePrompt(caption, category, challenge, scene)
        used.update(_words(scene))
    return list(prompts.values())


def _words(scene: Scene) -> list[str]:
    """The words to spread: sizes, colours, shapes, pairs, background and relation."""
    words = [scene.background, *([scene.relation] if scene.relation else [])]
    for thing in scene.things:
        words += [thing.size, thing.colour, thing.shape, f"{thing.colour} {thing.shape}"]
    return words


def write_built_in(path: Path) -> None:
    """Write the built-in prompts as a tab-separated file with a header row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["prompt_id", "prompt", "category", "challenge"])
        for number, one in enumerate(draw_prompts(BUILT_IN_PROMPTS, BUILT_IN_SEED), start=1):
            writer.writerow([f"scenes-{number:03d}", one.prompt, one.category, one.challenge])
