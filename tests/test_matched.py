"""Matched: an image is decided by model, prompt and seed, however and wherever it is made."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from evalkit.collection import open_collection
from evalkit.errors import ModelError, StudyError
from evalkit.generation import generate
from evalkit.lock import study_images
from evalkit.presets import init_study
from evalkit.study_folder import StudyFolder, open_study
from tests import miniatures
from tests.generated import hashes, pair, strokes, without_times
from tests.miniatures import small, study_file
from tests.study_factory import NOW


def scenes(root, prompts) -> StudyFolder:
    """The built-in models on these prompts; the study's name does not count."""
    file = init_study(root, "scenes")
    (root / "own.csv").write_text("prompt\n" + "".join(f"{prompt}\n" for prompt in prompts))
    text = re.sub(r'source = "scenes".*\nn = 24.*', 'source = "own.csv"', file.read_text())
    file.write_text(text)
    return open_study(root)


def pixels(folder: StudyFolder) -> dict[str, np.ndarray]:
    """The images by their path, which is of their id."""
    images = folder.read_images()
    assert (images["status"] == "ok").all()
    return {
        name: np.asarray(Image.open(folder.images / name)).astype(int)
        for name in images["file_name"]
    }


PROMPTS = ("a red circle", "two blue squares", "a green star", "a big yellow triangle")


@pytest.fixture(scope="module")
def one_go(tmp_path_factory):
    """The set in batches of eight."""
    folder = scenes(tmp_path_factory.mktemp("scenes") / "study", PROMPTS)
    generate(folder, batch_size=8)
    return folder


def in_batches_of(n):
    return lambda folder: generate(folder, batch_size=n)


def in_two_goes(folder):
    """First half of the prompts, one at a time; then what is missing."""
    text = (folder.root / "own.csv").read_text()
    (folder.root / "own.csv").write_text("".join(text.splitlines(keepends=True)[:3]))
    assert len(generate(folder, batch_size=1)) == 12
    (folder.root / "own.csv").write_text(text)
    generate(folder, batch_size=8)


def with_images_taken_away(folder):
    """Every third one is lost, and made again in other company."""
    generate(folder, batch_size=8)
    for path in sorted(folder.images.rglob("*.png"))[::3]:
        path.unlink()
    generate(folder, batch_size=8)


def by_workers(folder):
    generate(folder, engine="ray", workers=2, batch_size=3)


@pytest.mark.parametrize(
    ("make", "order"),
    [
        (in_batches_of(1), 1),
        (in_batches_of(3), -1),
        (in_two_goes, 1),
        (with_images_taken_away, 1),
        (by_workers, -1),
    ],
    ids=["one at a time", "in other order", "in two goes", "resumed", "by two workers"],
)
def test_batch_order_resume_and_workers_do_not_choose_the_image(one_go, tmp_path, make, order):
    """The built-in models; between batches of other sizes a sum may end one grey level off."""
    folder = scenes(tmp_path / "study", PROMPTS[::order])
    make(folder)
    expected, found = pixels(one_go), pixels(folder)
    assert found.keys() == expected.keys()
    assert max(np.abs(found[name] - expected[name]).max() for name in found) <= 1
    other = sum((found[name] != expected[name]).sum() for name in found)
    share = other / sum(image.size for image in found.values())
    print(f"{other} values differ, {share:.1e} of all")  # docs/cluster.md cites them
    assert share <= 1e-4


def test_the_same_batches_make_the_same_bytes(one_go, tmp_path):
    folder = scenes(tmp_path / "study", PROMPTS)
    generate(folder, batch_size=8)
    assert hashes(folder) == hashes(one_go)


def test_images_that_are_made_again_have_the_bytes_they_had(one_go, tmp_path):
    """Each in the company that it was made in, without being told of it."""
    folder = scenes(tmp_path / "study", PROMPTS)
    images = generate(folder, batch_size=4)
    before = hashes(folder)
    for path in sorted(folder.images.rglob("*.png"))[::3]:
        path.unlink()
    written = {path: path.stat().st_mtime_ns for path in folder.images.rglob("*.png")}
    assert without_times(generate(folder)) == without_times(images)
    assert hashes(folder) == before
    assert {path: path.stat().st_mtime_ns for path in written} == written  # only what was missing


@pytest.mark.parametrize("all_there", [True, False])
def test_imported_images_that_were_replaced_are_noticed(tmp_path, all_there):
    """The file of one image is another one now, under its old name."""
    folder = study_file(tmp_path / "study", {"mine": MINE, "light": strokes(size=32)})
    for number in (1, 2, 3):
        for seed in (0, 1):
            given(folder, number, seed, shade=10 * number + seed)
    images = generate(folder)
    before = hashes(folder)
    file = given(folder, 2, 1, shade=200)
    if not all_there:
        (folder.images / images["file_name"].iloc[0]).unlink()
    said = f"models.mine: {file} is another file than the one that was imported; .* revision in"
    with pytest.raises(ModelError, match=said):
        generate(folder)
    text = (folder.root / "study.toml").read_text()
    (folder.root / "study.toml").write_text(
        text.replace('images = "given"', 'images = "given"\nrevision = "second"')
    )
    folder = open_study(folder.root)  # as the sentence says
    assert (generate(folder)["status"] == "ok").all()
    assert len(hashes(folder)) == len(before) + (6 if all_there else 5)
    shutil.rmtree(folder.root / "given")  # what was imported is needed no more
    assert (generate(folder)["status"] == "ok").all()


MINE = {"images": "given", "width": 32, "height": 32}


def given(folder, number, seed, shade):
    file = folder.root / "given" / f"own-{number}_{seed}.png"
    file.parent.mkdir(exist_ok=True)
    Image.new("RGB", (32, 32), (shade, 50, 50)).save(file)
    return file


def test_another_seed_or_prompt_is_another_image(one_go):
    found = pixels(one_go)
    assert len({image.tobytes() for image in found.values()}) == len(found)


def test_images_of_other_settings_are_never_paired(made, tmp_path):
    """Images of two settings of a model lie there; those of the study as it stands are shown."""
    folder = study_file(tmp_path / "study", pair(made))
    old = generate(folder)
    listed = (folder.images_file.read_text(), folder.manifest_file.read_text())
    text = (folder.root / "study.toml").read_text()
    (folder.root / "study.toml").write_text(text.replace("steps = 2", "steps = 3"))
    folder = open_study(folder.root)
    assert study_images(folder)["model"].unique().tolist() == ["turbo"]
    with pytest.raises(StudyError, match="6 of 12 images are missing"):
        open_collection(folder, NOW)
    new = generate(folder)
    open_collection(folder, NOW).close()
    shown = set(folder.root.joinpath("pairs.csv").read_text().replace("\n", ",").split(","))
    of_base = old.loc[old["model"] == "base", "image_id"]
    assert not set(of_base) & shown
    assert set(new["image_id"]) <= shown
    folder.images_file.write_text(listed[0])  # an old table is not believed
    assert set(study_images(folder)["model"]) == {"turbo"}


def test_images_that_failed_or_were_filtered_are_never_shown(made, tmp_path):
    """They have no file, no pair and no public copy, and are counted per model."""
    broken = miniatures.spoil(miniatures.sd_turbo(tmp_path / "broken"), float("nan"))
    models = {
        "broken": small("sd-turbo", broken),
        "filtered": small("scenes-base", made["filtered_sd"], steps=1),
        "one": strokes(size=32),
        "two": strokes(size=32, shade=1),
    }
    folder = study_file(tmp_path / "study", models)
    images = generate(folder)
    counts = images.groupby(["model", "status"]).size().to_dict()
    assert counts == {
        ("broken", "failed"): 6, ("filtered", "filtered"): 6, ("one", "ok"): 6, ("two", "ok"): 6
    }  # fmt: skip
    told = json.loads(folder.manifest_file.read_text())["models"]
    assert told["broken"]["images"] == {"ok": 0, "failed": 6, "filtered": 0, "missing": 0}
    assert told["filtered"]["reasons"] == ["the checkpoint's safety filter"]
    open_collection(folder, NOW).close()
    text = folder.pairs_file.read_text() + folder.checks_file.read_text()
    for image_id in images.loc[images["status"] != "ok", "image_id"]:
        assert image_id not in text
