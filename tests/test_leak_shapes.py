"""Shapes and sizes that name a model: bars are a leak, a lower resolution is said as a warning."""

import pandas as pd
import pytest
from PIL import Image

from evalkit import tables
from evalkit.blinding import public_png
from evalkit.collection import open_collection
from evalkit.files import file_sha256
from evalkit.leaks import check_study, refuse_leaks
from evalkit.leaks.check import check_at_rest
from evalkit.leaks.record import Record
from evalkit.leaks.shapes import _box, check_shapes
from tests.study_factory import NOW, make_study

SQUARE, WIDE, TALL = (64, 64), (64, 48), (48, 64)


def found(shapes_of_a, shapes_of_b, viewing_size=64):
    """The findings of a study of models a and b, the images of pair k of these sizes."""
    key, pairs = [], []
    for number, shapes in enumerate(zip(shapes_of_a, shapes_of_b, strict=True)):
        for model, (width, height) in zip("ab", shapes, strict=True):
            row = {"file": f"{model}{number}", "model": model, "treatment": "plain"}
            key.append(row | {"width": width, "height": height})
        pairs.append({"pair_id": f"pair{number}", "file_a": f"a{number}", "file_b": f"b{number}"})
    stored = pd.DataFrame(pairs)
    matchups = stored[["pair_id"]].assign(model_a="a", model_b="b")
    findings = check_shapes(pd.DataFrame(key), stored, matchups, viewing_size)
    return {finding.name: finding for finding in findings}


def test_bars_that_name_a_model_are_a_leak():
    bars = found([SQUARE] * 4, [WIDE] * 4)["bars"]
    assert bars.line == (
        "LEAK  bars: both images of 4 of 4 pairs have different grey bars: a guess by them is "
        "right in 100% for a from b; give the images of all models one aspect ratio: generate or "
        "crop them anew in a new study"
    )
    assert not found([SQUARE] * 6, [WIDE, TALL] * 3)["bars"].passed  # b is what has any bars


def test_bars_in_few_pairs_are_judged_by_how_often_a_guess_is_right():
    """One pair in five with bars that tell: right in 0.8 x 50 % + 0.2 x 100 % = 60 %."""
    assert not found([SQUARE] * 10, [WIDE] * 2 + [SQUARE] * 8)["bars"].passed
    assert found([SQUARE] * 11, [WIDE] * 2 + [SQUARE] * 9)["bars"].passed


def test_bars_that_both_models_have_alike_tell_nothing():
    assert found([WIDE, TALL] * 3, [WIDE, TALL] * 3)["bars"].found.startswith("the same on both")
    mixed = found([WIDE, SQUARE] * 5, [SQUARE, WIDE] * 5)["bars"]
    assert mixed.passed
    assert mixed.found.endswith(
        "10 of 10 pairs have different grey bars, which tell no models apart"
    )
    assert found([SQUARE], [WIDE])["bars"].passed  # a single image has no habit


@pytest.mark.parametrize("size", [(64, 64), (40, 30), (31, 200), (1000, 999)])
def test_the_box_is_what_the_public_image_shows_within_its_bars(tmp_path, size):
    Image.new("RGB", size, (255, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "public.png").write_bytes(public_png(tmp_path / "red.png", 64))
    with Image.open(tmp_path / "public.png") as public:
        mask = public.getchannel("G").point(lambda value: 255 if value < 128 else 0)
        left, upper, right, lower = mask.getbbox()
    assert _box(*size, 64) == (right - left, lower - upper)


def test_a_model_whose_images_are_enlarged_is_warned_of():
    line = found([(32, 32)] * 3, [(96, 96)] * 3)["resolution"].line
    assert line.startswith(
        "warn  resolution: images of some models are enlarged to 64 px and look softer: a 32 px; "
    )
    alike = found([(32, 32)] * 3, [(32, 32)] * 3)["resolution"]
    assert (alike.warning, alike.found) == (False, "all are enlarged alike to be shown at 64 px")
    larger = found([(96, 96)] * 3, [(64, 64)] * 3)["resolution"]
    assert (larger.warning, larger.found) == (False, "none is enlarged to be shown at 64 px")


def test_a_study_whose_one_model_draws_wide_images_fails(tmp_path):
    folder = make_study(tmp_path / "study", models=("secret-alpha", "secret-beta"))
    images = folder.read_images()
    for row in images[images["model"] == "secret-beta"].itertuples():
        file = folder.images / row.file_name
        with Image.open(file) as image:
            image.crop((0, 0, image.width, image.height * 3 // 4)).save(file)
        images.loc[row.Index, ["height", "sha256"]] = [row.height * 3 // 4, file_sha256(file)]
    tables.write(images, folder.images_file, tables.IMAGES)
    store = open_collection(folder, NOW)
    findings, _ = check_at_rest(folder, store, Record())
    store.close()
    assert {finding.name for finding in findings if not finding.passed} == {"bars"}


def test_serve_says_a_warning_once_and_goes_on(tmp_path):
    folder = make_study(tmp_path / "study")
    said = []
    refuse_leaks(folder, NOW, said.append)
    assert said[0].startswith("First leak check of")
    assert [line[:16] for line in said[1:]] == ["warn  resolution"]
    refuse_leaks(folder, NOW, said.append)
    assert len(said) == 2
    warned = [finding for finding in check_study(folder, NOW) if finding.warning]
    assert [finding.name for finding in warned] == ["resolution"]
