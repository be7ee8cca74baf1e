"""Whatever stops a run, the next one completes the set, and it is the same."""

import os
import shutil
from pathlib import Path

import pytest

from evalkit import files
from evalkit.errors import StudyError
from evalkit.generation import generate, plan_images, worker
from evalkit.pipelines import load_pipeline
from tests.generated import hashes, pair, without_times
from tests.miniatures import study_file

ROOT = Path(__file__).parents[1]


GARBAGE = {
    "half": lambda data: data[: len(data) // 2],
    "no text": lambda data: b"\x00\xff" * 50,
    "a list": lambda data: b"[1, 2]",
    "another key": lambda data: data.replace(b"reason", b"raison"),
    "another type": lambda data: data.replace(b'"width": 32', b'"width": "32"'),
    "another status": lambda data: data.replace(b'"ok"', b'"fine"'),
}


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "gone", "record", *GARBAGE])
def test_a_damaged_image_is_made_again_and_no_other(made, tmp_path, damage):
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder)
    before = hashes(folder)
    file = folder.images / images["file_name"].iloc[3]
    record = file.with_suffix(".json")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "other":
        shutil.copy(folder.images / images["file_name"].iloc[4], file)
    elif damage == "gone":
        file.unlink()
    elif damage == "record":
        record.unlink()
    else:
        record.write_bytes(GARBAGE[damage](record.read_bytes()))
    assert plan_images(folder)["made"].tolist() == [row != 3 for row in range(12)]
    written = {path: path.stat().st_mtime_ns for path in folder.images.rglob("*.png")}
    again = generate(folder)
    assert without_times(again) == without_times(images)
    assert hashes(folder) == before
    now = {path: path.stat().st_mtime_ns for path in folder.images.rglob("*.png")}
    assert {path for path in now if now[path] != written.get(path)} == {file}


def test_a_damaged_image_is_not_listed_where_it_cannot_be_made(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder)
    (folder.images / images["file_name"].iloc[3]).write_bytes(b"half")
    with pytest.raises(StudyError), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            worker, "load_pipeline", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
        )
        generate(folder)
    assert folder.read_images()["image_id"].tolist() == images["image_id"].drop(3).tolist()


def test_a_folder_that_cannot_be_written_is_one_sentence(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    folder.images.write_text("a file where the folder of the images should be")
    with pytest.raises(StudyError, match=r"cannot be read or written \(Not a directory\).*evalkit"):
        generate(folder)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_file_is_as_the_umask_says(tmp_path, umask, mode):
    """pairs.csv, the key that puts model names back, is not for everybody."""
    before = os.umask(umask)
    try:
        files.write_bytes(tmp_path / "pairs.csv", b"key")
    finally:
        os.umask(before)
    assert (tmp_path / "pairs.csv").stat().st_mode & 0o777 == mode


def test_stopped_at_any_write_the_next_run_completes_the_set(made, tmp_path, monkeypatch):
    """Every file of a run is, in turn, the one at whose writing the run is stopped."""
    whole = study_file(tmp_path / "whole", pair(made), prompts=("a cat", "a dog"), seeds=(0,))
    expected = without_times(generate(whole, batch_size=1))
    inner, left = files.os.fsync, [0]
    loaded = {spec.name: load_pipeline(spec, "cpu") for spec in whole.study.models}
    for pipeline in loaded.values():
        monkeypatch.setattr(pipeline, "close", lambda: None)
    monkeypatch.setattr(worker, "load_pipeline", lambda spec, device: loaded[spec.name])

    def stop(handle):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        inner(handle)

    stops = 0
    for at in range(100):
        folder = study_file(tmp_path / str(at), pair(made), prompts=("a cat", "a dog"), seeds=(0,))
        left[0] = at
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", stop)
            try:
                generate(folder, batch_size=1)
            except KeyboardInterrupt:
                stops += 1
        if folder.images_file.is_file():  # what is listed is there
            for row in folder.read_images().itertuples():
                assert (folder.images / row.file_name).is_file()
        assert without_times(generate(folder, batch_size=1)) == expected
        assert hashes(folder) == hashes(whole)
        if stops == at:  # it was not stopped any more
            break
    # prompts and their record, two tables twice; per model a run, two images and their records
    assert stops == 2 + 2 * 2 + 2 * (1 + 2 * 2)
