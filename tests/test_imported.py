"""Images that were made elsewhere: their very pixels, or one sentence and nothing written."""

import json
import os
import struct
from zlib import compress, crc32

import numpy as np
import pytest
from PIL import Image

from evalkit.generation import generate
from tests.own_images import (
    IDS,
    PAINTER,
    PROMPTS,
    assert_refused,
    assert_same,
    fill,
    noise,
    pixels,
    spec,
    study,
)


@pytest.mark.parametrize("pattern", ["{}/{}.png", "{}_{}.PNG", "{}/{}.webp", "{}_{}.jpeg"])
def test_imported_images_have_exactly_their_pixels(tmp_path, pattern):
    folder = study(tmp_path, {"images": "made elsewhere"})
    given = fill(folder.root / "made elsewhere", pattern)
    (given / "notes.txt").write_text("not an image")
    (given / "own-3_0.png").write_bytes(b"of no prompt of the study")
    expected = {
        (prompt_id, seed): np.asarray(Image.open(given / pattern.format(prompt_id, seed)))
        for prompt_id, seed in IDS
    }
    assert_same(pixels(folder), expected)


@pytest.mark.parametrize(("suffix", "comma"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("column", ["prompt_id", "prompt"])
def test_a_table_names_files_from_where_it_lies(tmp_path, suffix, comma, column):
    folder = study(tmp_path, {"images": f"lists/table.{suffix}"})
    fill(folder.root / "lists" / "files", "{}-at-{}.png")
    texts = {"prompt_id": ["own-1", "own-2"], "prompt": PROMPTS}[column]
    lines = [
        comma.join([text, str(seed), f"files/own-{number}-at-{seed}.png"])
        for number, text in enumerate(texts, start=1)
        for seed in (0, 1)
    ]
    header = comma.join([column, "seed", "file"])
    (folder.root / f"lists/table.{suffix}").write_text("\n".join([header, *lines]) + "\n")
    assert_same(pixels(folder), {key: noise(*key) for key in IDS})


def test_imported_images_have_no_seconds(tmp_path):
    folder = study(tmp_path, {"callable": "timed_painter:paint"}, timed_painter=PAINTER)
    images = generate(folder, batch_size=1).set_index("model")
    assert images.loc["other", "seconds"].isna().all()
    assert images.loc["mine", "seconds"].notna().sum() == 3  # all but the first, which warms up
    [run] = json.loads(folder.manifest_file.read_text())["models"]["other"]["runs"]
    assert (run["pipeline"], run["files"], run["images"]["ok"]) == ("imported", "other", 4)
    assert {"evalkit", "pillow"} == set(run["versions"])
    assert str(tmp_path) not in folder.manifest_file.read_text()


def test_a_photograph_is_turned_and_an_opaque_alpha_dropped(tmp_path):
    folder = study(tmp_path, {"images": "hosted"})
    given = fill(folder.root / "hosted")
    turned = noise("turned", size=(32, 24, 3))  # stands upright once turned by 90 degrees
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned clockwise
    Image.fromarray(turned).save(given / "own-1/0.png", exif=exif)
    opaque = np.dstack([noise("alpha"), np.full((24, 32), 255, np.uint8)])
    Image.fromarray(opaque).save(given / "own-1/1.png")
    grey = noise("grey")[..., 0]
    Image.fromarray(grey).save(given / "own-2/0.png")
    found = pixels(folder)
    assert np.array_equal(found["own-1", 0], np.rot90(turned, -1))
    assert np.array_equal(found["own-1", 1], opaque[..., :3])
    assert np.array_equal(found["own-2", 0], np.dstack([grey] * 3))


def test_an_all_black_image_failed(tmp_path):
    folder = study(tmp_path, {"images": "hosted"})
    fill(folder.root / "hosted")
    Image.new("RGB", (32, 24)).save(folder.root / "hosted/own-2/1.png")
    images = generate(folder)
    assert (images["status"] == "failed").sum() == 1
    assert json.loads(folder.manifest_file.read_text())["models"]["mine"]["reasons"] == [
        "all black"
    ]


def test_missing_images_are_counted_and_the_first_is_named(tmp_path):
    folder = study(tmp_path, {"images": "hosted"})
    fill(folder.root / "hosted", skip=[("own-1", 1), ("own-2", 0)])
    assert_refused(
        folder,
        '2 of 4 images are missing in "hosted"',
        'the first of prompt "own-1" ("a red cat") with seed 1',
        "own-1/1.EXT or own-1_1.EXT, EXT one of png, jpg, jpeg, webp",
    )


def _two_files(path):
    Image.open(path).save(path.with_suffix(".webp"))


def _half(path):
    path.write_bytes(path.read_bytes()[:-500])


def _animated(path):
    frames = [Image.fromarray(noise(number)) for number in range(2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _see_through(path):
    alpha = np.full((24, 32), 255, np.uint8)
    alpha[3, 4] = 254
    Image.fromarray(np.dstack([noise("alpha"), alpha])).save(path)


def _sixteen_bits(path):
    """A PNG of 16-bit red, green and blue, by its specification: Pillow cannot write one."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc32(name + data))

    header = struct.pack(">IIBBBBB", 32, 24, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + os.urandom(32 * 6) for _ in range(24))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert Image.open(path).mode == "RGB"  # it is cut to 8 bits in silence


DAMAGES = [
    (_sixteen_bits, ["own-1/1.png: has 16 bits per colour; allowed are 8"]),
    (_two_files, ['prompt "own-1" with seed 1 has 2 files', "own-1/1.webp", "allowed is one"]),
    (_half, ["own-1/1.png: cannot be decoded"]),
    (lambda path: path.write_bytes(b""), ["cannot be decoded", "PNG, JPEG, WEBP"]),
    (lambda path: Image.new("RGB", (24, 32)).save(path), ["is 24x32 px; allowed is 32x24"]),
    (_animated, ["has 2 frames; allowed is one"]),
    (_see_through, ["has transparent pixels"]),
    (
        lambda path: Image.fromarray(np.full((24, 32), 999, np.uint16)).save(path),
        ["has 16 bits per colour"],
    ),
    (lambda path: Image.fromarray(noise("bmp")).save(path, "BMP"), ["cannot be decoded"]),
]


@pytest.mark.parametrize(("damage", "parts"), DAMAGES)
def test_an_image_that_cannot_be_shown_is_one_sentence(tmp_path, damage, parts):
    folder = study(tmp_path, {"images": "hosted"})
    damage(fill(folder.root / "hosted") / "own-1/1.png")
    assert_refused(folder, *parts)


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("none", None, ['images = "none": no such folder or table', "study.toml"]),
        ("table.txt", "prompt,seed,file\n", ["allowed is a folder, or a table that ends in .csv"]),
        ("t.csv", "seed,file\n0,x.png\n", ["column prompt_id is missing, and prompt too"]),
        ("t.csv", "prompt_id,seed\nown-1,0\n", ["column file is missing"]),
        ("t.csv", "prompt_id,seed,file\nown-1,one,x.png\n", ['line 2, column seed: "one"']),
        ("t.csv", "prompt_id,seed,file\nown-1,0,\n", ["line 2, column file: an empty cell"]),
        ("t.csv", "prompt_id,seed,file\nown-1,0,x.png\n", ["3 of 4 images", "a row of the table"]),
        (
            "t.csv",
            "prompt_id,seed,file\n" + "".join(f"{i},{s},none.png\n" for i, s in IDS),
            ["none.png: cannot be decoded (FileNotFoundError"],
        ),
        (
            "t.csv",
            "prompt_id,seed,file\n" + "".join(f"{i},{s},a.png\n" for i, s in [*IDS, IDS[2]]),
            ['prompt "own-2" with seed 0 has 2 files'],
        ),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path, name, text, parts):
    folder = study(tmp_path, {"images": name})
    if text is not None:
        (folder.root / name).write_text(text)
    Image.fromarray(noise("a")).save(folder.root / "a.png")
    assert_refused(folder, *parts)


def test_a_revision_makes_images_new(tmp_path):
    one, two = spec({"images": "x"}), spec({"images": "x", "revision": "2"})
    assert one.image_id("a cat", 0) != two.image_id("a cat", 0)
