"""The scenes that the built-in models are about: drawing, captions, prompts, attributes."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import EvalkitError
from evalkit.models.scenes.attributes import (
    SeenThing,
    attribute_accuracy,
    read_attributes,
    score_attributes,
)
from evalkit.models.scenes.captions import parse_caption, write_caption
from evalkit.models.scenes.drawing import draw_picture
from evalkit.models.scenes.scene import HELD_OUT, Scene, Thing, draw_scene
from evalkit.models.scenes.training.examples import add_filler, training_scene
from evalkit.models.scenes.training.prompt_set import write_built_in

PROMPTS = Path(__file__).parents[1] / "prompts" / "scenes.tsv"


def scenes(size: int, seed: int = 5) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [draw_scene(rng, held_out=i % 2 == 1) for i in range(size)]


def test_parse_caption_gives_back_what_write_caption_said():
    rng = np.random.default_rng(0)
    for scene in scenes(500):
        asked = parse_caption(write_caption(scene, rng, full=True))
        said = [(thing.size, thing.colour, thing.shape) for thing in asked.things]
        drawn = [(thing.size, thing.colour, thing.shape) for thing in scene.things]
        turned = {"left": "right", "right": "left", "above": "below", "below": "above", None: None}
        assert asked.background == scene.background
        assert (said, asked.relation) in [
            (drawn, scene.relation),
            (drawn[::-1], turned[scene.relation]),
        ]


def test_words_may_be_left_out_of_a_caption_and_are_then_not_asked_for():
    asked = parse_caption("A red circle left of an orange house.")
    assert asked.background is None
    assert [thing.size for thing in asked.things] == [None, None]
    assert asked.relation == "left"


def test_parse_caption_refuses_other_text():
    with pytest.raises(EvalkitError, match="not a caption of a scene"):
        parse_caption("an astronaut riding a horse")


def test_training_never_draws_a_held_out_pair_or_a_reserved_scene():
    drawn = [training_scene(i) for i in range(4000)]
    assert not any(thing.pair in HELD_OUT for scene in drawn for thing in scene.things)
    assert not any(scene.reserved for scene in drawn)
    assert {len(scene.things) for scene in drawn} == {1, 2}


def test_filler_keeps_the_caption_whole():
    rng = np.random.default_rng(0)
    texts = [add_filler("a red circle on grass", rng) for _ in range(200)]
    assert all("a red circle on grass" in text for text in texts)
    assert any(text != "a red circle on grass" for text in texts)


def test_a_red_circle_to_the_left_is_red_on_the_left():
    red, blue = Thing("circle", "red", "large", 25, 48), Thing("square", "blue", "large", 71, 48)
    pixels = np.asarray(draw_picture(Scene("grey", (red, blue), "left", seed=1))).astype(int)
    assert pixels.shape == (96, 96, 3)
    assert pixels[48, 25, 0] > pixels[48, 25, 2] + 100
    assert pixels[48, 71, 2] > pixels[48, 71, 0] + 100
    assert np.ptp(pixels[5, 48]) < 20  # grey wall between and above


def test_the_same_scene_gives_the_same_pixels_and_size_is_seen():
    scene = scenes(1)[0]
    assert draw_picture(scene).tobytes() == draw_picture(scene).tobytes()
    reddish = []
    for size in ("small", "large"):
        things = (Thing("square", "red", size, 48, 48),)
        pixels = np.asarray(draw_picture(Scene("grey", things, None, seed=1))).astype(int)
        reddish.append(int((pixels[..., 0] - pixels[..., 2] > 90).sum()))
    assert reddish[1] > 1.7 * reddish[0]


def test_the_classifier_reads_renders_it_never_saw():
    rng, drawn = np.random.default_rng(3), scenes(150, seed=77)
    captions = [write_caption(scene, rng, full=True) for scene in drawn]
    pictures = [draw_picture(scene) for scene in drawn]
    assert np.mean(attribute_accuracy(pictures, captions)) >= 0.97
    enlarged = [picture.resize((384, 384)) for picture in pictures[:40]]
    assert np.mean(attribute_accuracy(enlarged, captions[:40])) >= 0.97


def test_a_wrong_picture_scores_low_and_an_empty_one_shows_nothing():
    scene = Scene("sea", (Thing("star", "red", "large", 48, 48),), None, seed=2)
    picture = draw_picture(scene)
    assert attribute_accuracy([picture], ["a red star"]) == [1.0]
    assert attribute_accuracy([picture], ["a blue house"])[0] < 0.5
    assert read_attributes(draw_picture(replace(scene, things=()))) == []
    assert attribute_accuracy([draw_picture(replace(scene, things=()))], ["a red star"]) == [0.0]


def test_scores_count_a_swapped_relation_and_a_missing_thing():
    asked = parse_caption("a red circle to the left of a blue square")
    circle = SeenThing("red", "circle", 25, 48, 0.9)
    square = SeenThing("blue", "square", 71, 48, 0.9)
    assert score_attributes(asked, [circle, square]).share == 1.0
    swapped = [replace(circle, x=71), replace(square, x=25)]
    assert score_attributes(asked, swapped).share == pytest.approx(5 / 6)
    alone = score_attributes(asked, [circle])
    assert (alone.count, alone.relation) == ([False], [False])
    assert alone.share == pytest.approx(2 / 6)


def test_the_built_in_prompts_are_balanced_unseen_and_made_by_the_script(tmp_path):
    write_built_in(tmp_path / "scenes.tsv")
    assert PROMPTS.read_text() == (tmp_path / "scenes.tsv").read_text()
    with PROMPTS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0]) == ["prompt_id", "prompt", "category", "challenge"]
    assert len({row["prompt"] for row in rows}) == 48
    for part in (rows[:24], rows):
        kinds = [(row["category"], row["challenge"]) for row in part]
        assert {kinds.count(kind) for kind in set(kinds)} == {len(part) // 4}
    for row in rows:
        things = parse_caption(row["prompt"]).things
        held_out = any((thing.colour, thing.shape) in HELD_OUT for thing in things)
        assert (row["challenge"] == "held-out") == held_out
        assert (row["category"] == "two objects") == (len(things) == 2)


def test_importing_the_scenes_loads_no_torch():
    code = (
        "import sys, evalkit.models.scenes, evalkit.models.scenes.attributes;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
