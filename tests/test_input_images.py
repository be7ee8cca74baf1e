"""Input images of prompts: found, looked at, kept with the study, or refused with their row."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evalkit.errors import EvalkitError, TableError
from evalkit.files import file_sha256
from evalkit.prompts import (
    InputImages,
    copy_input_images,
    find_input_images,
    read_prompts,
)
from evalkit.study_sections import PromptSource


@pytest.fixture
def pictures(tmp_path):
    """A source that names three pictures, two of which are the same file's bytes."""
    (tmp_path / "set").mkdir()
    for name, colour in (("red.png", "red"), ("blue.jpg", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "set" / name)
    shutil.copy(tmp_path / "set" / "red.png", tmp_path / "set" / "again.png")
    return tmp_path


def found_in(root: Path, text: str, by_image: bool = True) -> InputImages:
    (root / "set" / "p.csv").write_text(text)
    read = read_prompts(PromptSource(source="set/p.csv"), root, by_image=by_image)
    return find_input_images(read.table, read.folder, root / "study", read.where, "turbo")


def test_input_images_are_kept_with_the_study(pictures):
    found = found_in(pictures, "prompt,image\na cat,red.png\na dog,blue.jpg\na fox,again.png\n")
    red, blue = (file_sha256(pictures / "set" / name) for name in ("red.png", "blue.jpg"))
    assert found.prompts["input_sha256"].tolist() == [red, blue, red]
    names = [f"inputs/{red[:16]}.png", f"inputs/{blue[:16]}.jpeg", f"inputs/{red[:16]}.png"]
    assert found.prompts["input_image"].tolist() == names
    assert not (pictures / "study").exists()
    copy_input_images(found.files, pictures / "study")
    assert {file_sha256(pictures / "study" / name) for name in names} == {red, blue}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("prompt,image\na,red.png\nb,\n", ["row 3", "no input image", "turbo", "input_image"]),
        ("prompt\na\n", ["row 2", "no input image"]),
        ("prompt,image\na,none.png\n", ["row 2", "none.png"]),
        ("prompt,image\na,p.csv\n", ["row 2", "p.csv", "cannot be decoded"]),
        ("prompt,image\na,cut.png\n", ["row 2", "cut.png", "cannot be decoded"]),
        ("prompt,image\na,deep.png\n", ["row 2", "deep.png: has 16 bits per colour"]),
        ("prompt,image\na,clear.png\n", ["row 2", "clear.png: has transparent pixels"]),
        ("prompt,image\na,red.png\na,again.png\n", ["row 3", "the same image", "row 2 already"]),
    ],
)
def test_an_input_image_that_cannot_be_is_one_sentence(pictures, text, parts):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(pictures / "whole.png")
    Image.new("I;16", (8, 8), 999).save(pictures / "set" / "deep.png")
    Image.new("RGBA", (8, 8), (200, 30, 30, 0)).save(pictures / "set" / "clear.png")
    (pictures / "set" / "cut.png").write_bytes((pictures / "whole.png").read_bytes()[:4000])
    with pytest.raises(EvalkitError) as caught:
        found_in(pictures, text)
    for part in [*parts, "set/p.csv"]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_prompt_on_another_image_is_another_only_where_images_count(pictures):
    text = "prompt,input_image\nin winter,red.png\nin winter,blue.jpg\n"
    assert len(found_in(pictures, text).prompts) == 2
    with pytest.raises(TableError, match="row 3.*row 2 already"):
        found_in(pictures, text, by_image=False)
