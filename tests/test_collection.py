"""Opening a study for votes: what is written, what is locked, what is refused."""

import io
import json
import shutil

import pandas as pd
import pytest
from PIL import Image

from evalkit import __version__, collection, tables
from evalkit.collection import invite, open_collection
from evalkit.errors import StudyError
from evalkit.result_tables import analyze_study
from evalkit.store import open_store
from tests.study_factory import MODELS, NOW, admit, make_study

LATER = "2030-01-02T10:00:00.000+00:00"


@pytest.fixture
def folder(tmp_path):
    return make_study(tmp_path / "study")


def reread(folder):
    """The folder as the next command finds it: study.toml read again."""
    return type(folder)(folder.root)


def change(folder, old, new):
    path = folder.root / "study.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return reread(folder)


def vote_once(folder, now=NOW):
    store = open_collection(folder, now)
    session = admit(store, "ann")
    store.next_trial("ann", session, "t1", now, seed=0)
    store.record_vote("t1", "ann", "left", 900, now)


def test_opening_writes_pairs_checks_images_store_and_lock(folder):
    store = open_collection(folder, NOW)
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    checks = tables.read(folder.checks_file, tables.CHECKS)
    assert len(pairs) == 18
    assert checks["role"].value_counts().to_dict() == {"attention": 4, "example": 1}
    lock = json.loads(folder.lock_file.read_text())
    assert lock["study_sha256"] == folder.study.sha256 == store.study().study_sha256
    assert (lock["evalkit"], lock["locked_at"]) == (__version__, NOW)
    pixelated = (checks["foil"] == "pixelated").sum()
    assert len(list(folder.blinded.iterdir())) == 18 + pixelated


def test_public_images_tell_nothing_by_name_size_time_or_content(folder):
    open_collection(folder, NOW)
    files = sorted(folder.blinded.iterdir())
    image_ids = set(folder.read_images()["image_id"])
    for file in files:
        assert len(file.stem) == 32
        assert file.stem not in image_ids
        assert file.stat().st_mtime == 0
        data = file.read_bytes()
        assert Image.open(io.BytesIO(data)).size == (64, 64)
        assert b"secret" not in data
    other = make_study(folder.root.parent / "again")
    open_collection(other, NOW)
    assert not {file.name for file in files} & {file.name for file in other.blinded.iterdir()}


def test_opening_again_changes_nothing(folder):
    vote_once(folder)
    before = {path: path.read_bytes() for path in folder.root.rglob("*.csv")}
    public = {path.name for path in folder.blinded.iterdir()}
    store = open_collection(reread(folder), LATER)
    assert len(store.votes()) == 1
    assert {path: path.read_bytes() for path in folder.root.rglob("*.csv")} == before
    assert {path.name for path in folder.blinded.iterdir()} == public
    assert json.loads(folder.lock_file.read_text())["locked_at"] == NOW


def test_a_study_changed_before_any_vote_is_made_anew_and_links_still_work(folder):
    (link,) = invite(folder, 1, NOW, "http://localhost:8501")
    token = link.partition("token=")[2]
    store = open_store(folder.store_address)
    store.consent(store.annotator(token).annotator_id, NOW)
    old_images = {path.name for path in folder.blinded.iterdir()}
    changed = change(folder, "viewing_size = 64", "viewing_size = 80")
    store = open_collection(changed, LATER)
    assert store.study().viewing_size == 80
    annotator = store.annotator(token)
    assert (annotator.invited_at, annotator.consented_at) == (NOW, None)
    images = list(changed.blinded.iterdir())
    assert {Image.open(path).size for path in images} == {(80, 80)}
    assert not old_images & {path.name for path in images}
    assert json.loads(changed.lock_file.read_text())["locked_at"] == LATER


def test_a_study_changed_after_a_vote_is_refused(folder):
    vote_once(folder)
    changed = change(folder, "looks better made?", "is nicer?")
    with pytest.raises(
        StudyError, match=r"study\.toml has changed since 2030-01-01T10.*undo the change in study"
    ):
        open_collection(changed, LATER)
    with pytest.raises(StudyError, match=r"study\.toml has changed"):
        invite(changed, 1, LATER, "http://localhost:8501")
    restored = change(changed, "is nicer?", "looks better made?")
    assert len(open_collection(restored, LATER).votes()) == 1


def test_a_database_of_another_form_of_the_study_is_made_anew_before_any_vote(folder):
    """The study was changed and changed back while lock.json was put back from a copy."""
    open_collection(folder, NOW).close()
    lock = folder.lock_file.read_bytes()
    changed = change(folder, "viewing_size = 64", "viewing_size = 80")
    open_collection(changed, LATER).close()
    restored = change(changed, "viewing_size = 80", "viewing_size = 64")
    restored.lock_file.write_bytes(lock)
    store = open_collection(restored, LATER)
    assert store.study().study_sha256 == restored.study.sha256
    assert store.study().viewing_size == 64
    assert {Image.open(path).size for path in restored.blinded.iterdir()} == {(64, 64)}
    store.close()


def test_votes_given_for_another_form_of_the_study_are_refused(folder):
    open_collection(folder, NOW).close()
    lock = folder.lock_file.read_bytes()
    changed = change(folder, "looks better made?", "is nicer?")
    vote_once(changed)
    restored = change(changed, "is nicer?", "looks better made?")
    restored.lock_file.write_bytes(lock)
    for use in (lambda: open_collection(restored, LATER), lambda: analyze_study(restored, LATER)):
        with pytest.raises(StudyError, match="given for another form of study.toml"):
            use()


def test_what_a_stop_leaves_half_made_is_made_anew(folder, monkeypatch):
    open_collection(folder, NOW).close()
    changed = change(folder, "viewing_size = 64", "viewing_size = 80")

    class StoppedError(Exception):
        pass

    def stop(*_):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(collection, "_store_plan", stop)
        with pytest.raises(StoppedError):
            open_collection(changed, LATER)
    restored = change(changed, "viewing_size = 80", "viewing_size = 64")
    open_collection(restored, LATER).close()
    names = {path.name for path in restored.blinded.iterdir()}
    store = open_store(restored.store_address)
    assert names == set(store.pairs()[["file_a", "file_b"]].to_numpy().ravel())
    store.close()


def test_images_changed_after_a_vote_are_refused(folder):
    vote_once(folder)
    images = folder.read_images()
    images.loc[0, "sha256"] = "0" * 64
    tables.write(images, folder.images_file, tables.IMAGES)
    with pytest.raises(StudyError, match="images have changed since"):
        open_collection(folder, LATER)


def test_votes_without_a_lock_are_not_touched(folder):
    vote_once(folder)
    folder.lock_file.unlink()
    public = sorted(folder.blinded.iterdir())
    with pytest.raises(StudyError, match="lock.json is missing"):
        open_collection(folder, LATER)
    assert sorted(folder.blinded.iterdir()) == public
    assert len(open_store(folder.store_address).votes()) == 1


def test_missing_images_are_counted(folder):
    images = folder.read_images()
    tables.write(images.iloc[3:], folder.images_file, tables.IMAGES)
    with pytest.raises(StudyError, match="3 of 18 images are missing.*evalkit generate"):
        open_collection(folder, NOW)
    tables.write(images, folder.images_file, tables.IMAGES)
    (folder.images / images["file_name"].iloc[5]).unlink()
    with pytest.raises(StudyError, match="1 of 18 images are missing"):
        open_collection(folder, NOW)
    assert not folder.store_address.exists()


def test_a_file_that_is_not_the_listed_image_is_not_made_public(folder):
    images = folder.read_images()
    file, other = (folder.images / name for name in images["file_name"].iloc[[5, 6]])
    content = file.read_bytes()
    shutil.copy(other, file)
    with pytest.raises(StudyError, match=f"{file.name}: is not the image that images.csv lists"):
        open_collection(folder, NOW)
    assert not folder.blinded.exists()
    file.write_bytes(content)
    vote_once(folder)
    shutil.copy(other, file)  # the public images were made from the right one
    assert len(open_collection(reread(folder), LATER).votes()) == 1


def test_a_model_changed_after_generation_counts_as_missing(folder):
    changed = change(folder, "steps = 2", "steps = 4")
    with pytest.raises(StudyError, match="6 of 18 images are missing"):
        open_collection(changed, NOW)


def test_an_image_that_failed_only_loses_its_pairs(folder):
    images = folder.read_images()
    (folder.images / images["file_name"].iloc[0]).unlink()
    images.loc[0, ["status", "file_name", "sha256"]] = ["failed", "", ""]
    tables.write(images, folder.images_file, tables.IMAGES)
    open_collection(folder, NOW)
    assert len(tables.read(folder.pairs_file, tables.PAIRS)) == 16


def test_a_study_without_any_pair_is_refused(folder):
    images = folder.read_images()
    images.loc[images["model"] != "secret-alpha", "status"] = "filtered"
    tables.write(images, folder.images_file, tables.IMAGES)
    with pytest.raises(StudyError, match="12 of 18 images failed or were filtered"):
        open_collection(folder, NOW)


def test_before_generation_the_study_says_what_to_run(tmp_path):
    folder = make_study(tmp_path / "study")
    folder.images_file.unlink()
    with pytest.raises(StudyError, match="evalkit generate"):
        open_collection(folder, NOW)


def test_every_link_admits_another_annotator(folder):
    links = invite(folder, 3, NOW, "https://study.example.org/")
    assert all(link.startswith("https://study.example.org/?token=") for link in links)
    tokens = [link.partition("token=")[2] for link in links]
    assert all(len(token) >= 22 for token in tokens)  # 128 bits
    store = open_collection(folder, NOW)
    annotators = {store.annotator(token).annotator_id for token in tokens}
    assert len(annotators) == 3
    assert set(store.annotators()["annotator_id"]) == annotators
    assert not any(token.encode() in folder.store_address.read_bytes() for token in tokens)


def test_the_key_stays_outside_what_the_app_reads(folder):
    """pairs.csv and checks.csv put the names back; the store's pairs carry the same ids."""
    open_collection(folder, NOW)
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    checks = tables.read(folder.checks_file, tables.CHECKS)
    assert set(pairs["model_a"]) | set(pairs["model_b"]) == set(MODELS)
    store = open_store(folder.store_address)
    with store._reading() as connection:
        stored = set(store._plan(connection).pairs)
    assert stored == set(pd.concat([pairs["pair_id"], checks["pair_id"]]))


def test_a_link_needs_an_address(tmp_path):
    folder = make_study(tmp_path / "study")
    with pytest.raises(StudyError, match='--url "localhost"; allowed is an address'):
        invite(folder, 1, NOW, "localhost")
    assert not folder.store_address.exists()
