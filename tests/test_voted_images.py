"""Once there are votes: images and tables stay as they were locked."""

import shutil
from contextlib import contextmanager

import pandas as pd
import pytest

from evalkit.collection import open_collection
from evalkit.errors import ModelError, StudyError
from evalkit.generation import describe_plan, generate
from evalkit.lock import require_unchanged
from evalkit.study_folder import open_study
from tests import miniatures
from tests.generated import hashes, pair
from tests.miniatures import small, study_file
from tests.study_factory import NOW, admit

# ---- once there are votes


def vote_once(folder):
    store = open_collection(folder, NOW)
    session = admit(store, "ann")
    store.next_trial("ann", session, "t1", NOW, seed=0)
    store.record_vote("t1", "ann", "left", 900, NOW)
    store.close()


def all_files(folder):
    """The bytes of all files but the database's."""
    files = [path for path in folder.root.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if not path.name.startswith("votes.sqlite")}


@pytest.mark.parametrize("change", ["settings", "prompts"])
def test_with_votes_a_changed_study_is_refused_and_nothing_is_written(made, tmp_path, change):
    folder = study_file(tmp_path / "study", pair(made))
    generate(folder)
    vote_once(folder)
    file, old, new, message = {
        "settings": ("study.toml", "steps = 2", "steps = 3", r"study\.toml has changed since"),
        "prompts": ("own.csv", "a red cat", "a red cow", "the prompts have changed since.*source"),
    }[change]
    text = (folder.root / file).read_text()
    (folder.root / file).write_text(text.replace(old, new))
    before = all_files(folder)
    for step in (generate, describe_plan):
        with pytest.raises(StudyError, match=message):
            step(open_study(folder.root))
    assert all_files(folder) == before
    (folder.root / file).write_text(text)  # as the sentence says
    assert len(generate(open_study(folder.root))) == 12


def test_with_votes_an_image_that_failed_stays_failed(made, tmp_path):
    broken = miniatures.spoil(miniatures.sd_turbo(tmp_path / "broken"), float("nan"))
    folder = study_file(tmp_path / "study", {"broken": small("sd-turbo", broken), **pair(made)})
    images = generate(folder)
    vote_once(folder)
    shutil.rmtree(broken)
    miniatures.sd_turbo(broken)
    assert "broken: 0 of 6 images to make" in describe_plan(folder)
    before = all_files(folder)
    pd.testing.assert_frame_equal(generate(folder), images)
    assert all_files(folder) == before


def test_with_votes_a_damaged_image_comes_back_as_it_was_or_not_at_all(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder, batch_size=1)
    vote_once(folder)
    before = hashes(folder)
    damaged, lost = (folder.images / images["file_name"].iloc[row] for row in (1, 8))
    damaged.write_bytes(b"half")
    lost.unlink()
    lost.with_suffix(".json").unlink()
    assert "2 of 12 images to make" in describe_plan(folder)
    pd.testing.assert_frame_equal(generate(folder, batch_size=1), images)
    assert hashes(folder) == before

    damaged.write_bytes(b"half")
    lost.unlink()
    other = replaced(made["scenes_base"], miniatures.scenes_base, seed=99)
    with other, pytest.raises(ModelError, match="models.base: image .* comes out otherwise than"):
        generate(folder, batch_size=1)
    assert damaged.read_bytes() == b"half"
    assert lost.is_file()  # the other model is as it was
    pd.testing.assert_frame_equal(folder.read_images(), images)
    require_unchanged(folder)  # so that the votes are not lost with the file
    assert len(open_collection(folder, NOW).votes()) == 1


def test_with_votes_one_damaged_image_of_a_batch_comes_back_byte_for_byte(tmp_path):
    """The built-in models in batches of 8: alone, most of them come out otherwise."""
    models = {"lcm": {"catalogue": "scenes-lcm"}, "turbo": {"catalogue": "scenes-turbo"}}
    prompts = ("a red circle", "two blue squares", "a green star", "a big yellow triangle")
    folder = study_file(tmp_path / "study", models, prompts=(*prompts, "a small blue circle"))
    images = generate(folder, batch_size=8)
    vote_once(folder)
    before = hashes(folder)
    for row in (2, 9, 13):
        damaged = folder.images / images["file_name"].iloc[row]
        damaged.write_bytes(b"half")
        pd.testing.assert_frame_equal(generate(folder), images)
        assert hashes(folder) == before


@contextmanager
def replaced(folder, make, seed):
    """Other weights in a checkpoint's folder, for a while."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    make(folder, seed)
    yield
    shutil.rmtree(folder)
    kept.rename(folder)


@pytest.mark.parametrize("table", ["prompts.csv", "images.csv"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_with_votes_a_changed_table_is_written_as_it_was(made, tmp_path, table, damage):
    folder = study_file(tmp_path / "study", pair(made))
    generate(folder)
    vote_once(folder)
    file = folder.root / table
    content = file.read_text()
    if damage == "gone":
        file.unlink()
    else:
        file.write_text(content.replace("own-2", "own-7"))
    with pytest.raises(StudyError, match="have changed since|evalkit generate"):
        require_unchanged(folder)
    generate(folder)
    assert file.read_text() == content
    require_unchanged(folder)
