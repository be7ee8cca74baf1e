"""Public images: one canvas, no metadata, one length; pairs without model names."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit import tables
from evalkit.blinding import blind_pairs, padded, public_png, shown_images
from evalkit.design import plan_checks, plan_pairs
from evalkit.errors import StudyError
from tests.study_factory import MODELS, draw_image, make_images, make_prompts, make_study


def decoded(data):
    return Image.open(io.BytesIO(data))


def chunk_names(png):
    place = 8  # after the signature
    while place < len(png):
        length = int.from_bytes(png[place : place + 4])
        yield png[place + 4 : place + 8]
        place += 12 + length


def save(path, picture, **settings):
    Image.fromarray(picture).save(path, **settings)
    return path


@pytest.fixture
def photo(tmp_path):
    """A JPEG with camera data in it."""
    exif = Image.Exif()
    exif[0x0110] = "secret-camera"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return save(tmp_path / "photo.jpg", pixels, exif=exif, comment=b"secret-comment")


def test_nothing_but_pixels_is_left(tmp_path, photo):
    draw_image(tmp_path / "drawn.png", 48, "secret-model", "p0", 0)
    for source in (photo, tmp_path / "drawn.png"):
        data = public_png(source, 64)
        assert b"secret" in source.read_bytes()
        assert b"secret" not in data
        image = decoded(data)
        image.load()
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 64))
        assert image.info == {}
        assert set(chunk_names(data)) == {b"IHDR", b"IDAT", b"IEND"}


def test_files_of_every_format_size_and_mode_become_alike(tmp_path):
    grey = np.full((30, 30), 90, dtype=np.uint8)
    sources = [
        save(tmp_path / "grey.png", grey),
        save(tmp_path / "grey.jpg", np.stack([grey] * 3, axis=-1), quality=100),
        save(tmp_path / "grey.webp", np.full((200, 200, 3), 90, dtype=np.uint8), lossless=True),
        save(
            tmp_path / "clear.png",
            np.dstack([np.full((8, 8, 3), 90), np.full((8, 8, 1), 255)]).astype(np.uint8),
        ),
    ]
    assert {public_png(source, 64) for source in sources} == {public_png(sources[0], 64)}
    assert (np.asarray(decoded(public_png(sources[0], 64))) == 90).all()


def test_an_image_of_the_viewing_size_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    source = save(tmp_path / "exact.png", pixels)
    np.testing.assert_array_equal(np.asarray(decoded(public_png(source, 64))), pixels)


def test_a_larger_image_is_brought_down_by_lanczos(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    source = save(tmp_path / "large.png", pixels)
    expected = Image.fromarray(pixels).resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.asarray(decoded(public_png(source, 64))), np.asarray(expected))


def test_an_image_that_is_not_square_is_fitted_and_centred(tmp_path):
    source = save(tmp_path / "wide.png", np.full((20, 40, 3), 250, dtype=np.uint8))
    pixels = np.asarray(decoded(public_png(source, 64)))
    assert (pixels[16:48] == 250).all()
    assert (pixels[:16] == 128).all()
    assert (pixels[48:] == 128).all()


def test_a_turned_photo_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn clockwise
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:, :32] = 255
    upright = np.asarray(decoded(public_png(save(tmp_path / "t.png", pixels, exif=exif), 64)))
    assert (upright[:32] == 255).all()
    assert (upright[32:] == 0).all()


def test_a_pixelated_image_has_one_colour_per_cell(tmp_path):
    draw_image(tmp_path / "drawn.png", 64, "m", "p0", 0)
    pixels = np.asarray(decoded(public_png(tmp_path / "drawn.png", 64, "pixelated")))
    cells = pixels.reshape(16, 4, 16, 4, 3)
    assert (cells == cells[:, :1, :, :1]).all()
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 16


def test_padding_brings_files_to_one_length_and_they_still_decode(tmp_path):
    smooth = public_png(save(tmp_path / "s.png", np.zeros((64, 64, 3), dtype=np.uint8)), 64)
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    noisy = public_png(save(tmp_path / "n.png", noise), 64)
    assert len(smooth) < len(noisy)
    alike = padded(smooth, len(noisy))
    assert len(alike) == len(noisy)
    np.testing.assert_array_equal(np.asarray(decoded(alike)), np.asarray(decoded(smooth)))
    with pytest.raises(ValueError, match="do not fit"):
        padded(noisy, len(smooth))


@pytest.mark.parametrize("content", [None, b"not an image"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(StudyError, match=r"bad\.png: cannot be read as an image"):
        public_png(tmp_path / "bad.png", 64)


@pytest.fixture
def planned(tmp_path):
    study = make_study(tmp_path / "study", n_prompts=2, practice_trials=1).study
    prompts = make_prompts(6)
    images = make_images(study, prompts)
    return images, plan_pairs(images, study), plan_checks(images, prompts, study), prompts


def named(shown, start):
    return {image: f"{number}.png" for number, image in enumerate(shown, start)}


def test_blinded_pairs_lead_to_their_images_and_name_no_model(planned):
    _images, pairs, checks, prompts = planned
    names = named(shown_images(pairs, checks), 100)
    blinded = blind_pairs(pairs, checks, prompts, names, seed=1)
    assert blinded.columns.tolist() == tables.BLINDED_PAIRS.names
    text = blinded.to_csv()
    assert not any(model in text for model in MODELS)
    images_of = {name: image for image, name in names.items()}
    for row in blinded.itertuples():
        shown = (images_of[row.file_a], images_of[row.file_b])
        if row.question_id == "":
            pair = pairs.set_index("pair_id").loc[row.pair_id]
            assert shown == ((pair["image_a"], "plain"), (pair["image_b"], "plain"))
        else:
            check = checks.set_index("pair_id").loc[row.pair_id]
            right = 0 if check["expected"] == "a" else 1
            wrong = "pixelated" if row.question_id == "quality" else "plain"
            assert shown[right][1] == "plain"
            assert shown[1 - right][1] == wrong
    assert set(blinded["prompt"]) <= set(prompts["prompt"])


def test_blinded_pairs_say_role_right_side_and_foil_of_checks_and_of_nothing_else(planned):
    _images, pairs, checks, prompts = planned
    names = named(shown_images(pairs, checks), 0)
    blinded = blind_pairs(pairs, checks, prompts, names, seed=1).set_index("pair_id")
    main = blinded.loc[pairs["pair_id"], ["question_id", "role", "expected", "foil"]]
    assert set(main.itertuples(index=False, name=None)) == {("", "main", "", "")}
    columns = ["question_id", "role", "expected", "foil"]
    told = blinded.loc[checks["pair_id"], columns].reset_index()
    pd.testing.assert_frame_equal(told, checks[["pair_id", *columns]], check_dtype=False)
    assert set(checks["role"]) == {"attention", "practice", "example"}


def test_matchup_codes_follow_the_seed_and_not_the_names(planned):
    _images, pairs, checks, prompts = planned
    names = named(shown_images(pairs, checks), 0)
    of_first_matchup = set()
    for seed in range(8):
        blinded = blind_pairs(pairs, checks, prompts, names, seed).set_index("pair_id")
        codes = pairs.assign(code=blinded.loc[pairs["pair_id"], "matchup"].to_numpy())
        by_matchup = codes.groupby(["model_a", "model_b"])["code"].unique()
        assert by_matchup.map(len).tolist() == [1, 1, 1]
        assert len(set(by_matchup.map(lambda found: found[0]))) == 3
        of_first_matchup.add(by_matchup.iloc[0][0])
    assert len(of_first_matchup) > 1


def test_a_study_without_checks_shows_plain_images_only(planned):
    _images, pairs, _checks, _prompts = planned
    shown = shown_images(pairs, tables.CHECKS.empty())
    assert {treatment for _, treatment in shown} == {"plain"}
    assert len(shown) == len(pd.unique(pd.concat([pairs["image_a"], pairs["image_b"]])))
