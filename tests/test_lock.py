"""The lock: what may not change once votes are given, and what a change is answered with."""

import hashlib
import json
import platform

import pandas
import pytest

from evalkit import __version__, tables
from evalkit.collection import open_collection
from evalkit.errors import StudyError
from evalkit.frozen import rows_change
from evalkit.lock import (
    contradiction,
    has_contents,
    has_votes,
    is_unchanged,
    lock_facts,
    lock_hash,
    missing_content,
    read_lock,
    require_unchanged,
)
from evalkit.study_folder import StudyFolder
from tests.study_factory import NOW, admit, make_study


@pytest.fixture
def folder(tmp_path):
    """An opened study with one vote."""
    folder = make_study(tmp_path / "study")
    store = open_collection(folder, NOW)
    session = admit(store, "ann")
    store.next_trial("ann", session, "t1", NOW, seed=0)
    store.record_vote("t1", "ann", "left", 900, NOW)
    store.close()
    return folder


def change_study(folder):
    path = folder.root / "study.toml"
    path.write_text(path.read_text().replace("steps = 2", "steps = 4"))


def change_rules(folder):
    path = folder.root / "study.toml"
    path.write_text(path.read_text() + "\n[exclusions]\nblocked = true\n")


def change_question(folder):
    path = folder.root / "study.toml"
    path.write_text(path.read_text().replace("looks better made", "looks best made"))


def lose_an_image(folder):
    tables.write(folder.read_images().iloc[1:], folder.images_file, tables.IMAGES)


def change_prompts(folder):
    prompts = folder.read_prompts()
    prompts.loc[2, "category"] = "People"
    tables.write(prompts, folder.prompts_file, tables.PROMPTS)


def change_images(folder):
    images = folder.read_images()
    images.loc[5, "model"] = "secret-gamma"
    tables.write(images, folder.images_file, tables.IMAGES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            change_study,
            r"study\.toml has changed since 2030-01-01T10:00:00\.000\+00:00: models\.secret-beta\."
            r"steps was 2 and is 4; .*undo the change in study",
        ),
        (
            change_rules,
            r"study\.toml has changed since 2030-.*: exclusions\.blocked was left out and is true; "
            r".*undo the change in study",
        ),
        (
            change_question,
            r'questions\.quality\.text was "Which image looks better made\?" and is "Which image '
            r'looks best made\?"; .*evalkit init NEW --new-version',
        ),
        (
            change_prompts,
            r'the prompts have changed since 2030.*: prompt p002: category was "Animals" and is '
            r'"People"; .*undo the change in prompts\.csv',
        ),
        (
            change_images,
            r"the images have changed since 2030.*: image [0-9a-f]{32} \(secret-alpha, prompt "
            r'p005, seed 0\): model was "secret-alpha" and is "secret-gamma"; .*put images\.csv',
        ),
        (lose_an_image, r"image [0-9a-f]{32} \(secret-alpha, prompt p000, seed 0\) is gone; "),
    ],
)
def test_a_change_is_named_with_what_undoes_it(folder, change, message):
    require_unchanged(folder)
    change(folder)
    changed = StudyFolder(folder.root)
    assert not is_unchanged(changed)
    with pytest.raises(StudyError, match=message) as caught:
        require_unchanged(changed)
    assert "\n" not in str(caught.value)


def test_what_does_not_count_may_change(folder):
    """The order of the rows, how long an image took, a comment, and the lost file of an image."""
    images = folder.read_images().assign(seconds=9.5).sample(frac=1, random_state=1)
    tables.write(images, folder.images_file, tables.IMAGES)
    tables.write(folder.read_prompts().iloc[::-1], folder.prompts_file, tables.PROMPTS)
    with (folder.root / "study.toml").open("a") as file:
        file.write("# a comment\n")
    (folder.images / images["file_name"].iloc[0]).unlink()
    require_unchanged(StudyFolder(folder.root))
    assert is_unchanged(StudyFolder(folder.root))


def test_the_lock_says_when_and_by_which_version(folder):
    lock = json.loads(folder.lock_file.read_text())
    assert (lock["evalkit"], lock["locked_at"]) == (__version__, NOW)
    assert all(len(lock[f"{part}_sha256"]) == 64 for part in ("study", "prompts", "images"))


def test_the_hash_of_a_lock_follows_from_what_it_says(folder, tmp_path):
    """Not from its layout; the witness is sha256sum over the same JSON without spaces."""
    lock = json.loads(folder.lock_file.read_text())
    text = json.dumps(lock, sort_keys=True, separators=(",", ":"))
    assert lock_hash(folder) == hashlib.sha256(text.encode()).hexdigest()[:12]
    before = lock_hash(folder)
    folder.lock_file.write_text(json.dumps(dict(reversed(lock.items()))))
    assert lock_hash(folder) == before
    folder.lock_file.write_text(json.dumps({**lock, "locked_at": "2030-01-02"}))
    assert lock_hash(folder) != before
    assert lock_hash(make_study(tmp_path / "fresh")) == ""


def test_a_lock_of_evalkit_0_1_0_still_holds(folder):
    """It has hashes alone: which part has changed is said, not which value."""
    lock = json.loads(folder.lock_file.read_text())
    keys = ("study_sha256", "prompts_sha256", "images_sha256", "evalkit", "locked_at")
    folder.lock_file.write_text(json.dumps({key: lock[key] for key in keys}))
    require_unchanged(folder)
    assert contradiction(read_lock(folder)) == ""
    change_study(folder)
    with pytest.raises(StudyError, match=r"changed since 2030-\S+; a study is fixed before its"):
        require_unchanged(StudyFolder(folder.root))


def test_the_lock_has_versions_and_what_its_hashes_are_of(folder):
    lock = read_lock(folder)
    assert lock["python"] == platform.python_version()
    assert lock["libraries"]["pandas"] == pandas.__version__
    assert lock["prompts"]["p001"]["prompt"] == "one heron by lake 1"
    first = folder.read_images().iloc[0]
    assert lock["images"][first.image_id]["sha256"] == first.sha256
    assert lock["blinded"].keys() == {path.name for path in folder.blinded.iterdir()}
    assert contradiction(lock) == ""
    for part, old, new in [
        ("study", "steps", "stops"), ("prompts", "heron", "crane"), ("images", "p003", "p004"),
    ]:  # fmt: skip
        forged = json.loads(json.dumps(lock[part]).replace(old, new))
        assert contradiction({**lock, part: forged}) == part


def test_a_lock_has_all_its_contents_or_is_older_than_they(folder):
    lock = read_lock(folder)
    assert missing_content(lock) == "" and has_contents(lock)
    assert missing_content({k: v for k, v in lock.items() if k != "images"}) == "images"
    contents = ("study", "prompts", "images", "blinded")
    stripped = {k: v for k, v in lock.items() if k not in contents}
    assert missing_content(stripped) == "study"
    older = {k: v for k, v in stripped.items() if k not in ("python", "libraries")}
    assert missing_content(older) == "" and not has_contents(older)


def test_a_reader_is_told_of_the_lock_in_short(folder, tmp_path):
    facts = lock_facts(folder)
    assert facts["lock"] == lock_hash(folder)
    assert facts["study_sha256"] == folder.study.sha256
    assert not {"study", "prompts", "images", "blinded"} & facts.keys()
    assert lock_facts(make_study(tmp_path / "fresh")) == {}


def test_of_long_texts_the_part_that_differs_is_shown():
    then, now = "word " * 40 + "blue sky", "word " * 40 + "grey sky"
    said = rows_change({"p": {"prompt": then}}, {"p": {"prompt": now}}, "prompt")
    assert said == (
        'prompt p: prompt was …word word word word blue sky" and is …word word word word grey sky"'
    )


def test_without_a_lock_nothing_is_taken_for_unchanged(folder, tmp_path):
    folder.lock_file.write_text("[1, 2")
    with pytest.raises(StudyError, match="lock.json: not readable as JSON"):
        require_unchanged(folder)
    folder.lock_file.unlink()
    assert not is_unchanged(folder)
    with pytest.raises(StudyError, match=r"lock.json is missing.*restore lock.json"):
        require_unchanged(folder)
    with pytest.raises(StudyError, match="no votes yet; invite annotators with: evalkit invite"):
        require_unchanged(make_study(tmp_path / "fresh"))


def test_votes_count_from_the_first_on(folder, tmp_path):
    assert has_votes(folder)
    fresh = make_study(tmp_path / "fresh")
    assert not has_votes(fresh)
    open_collection(fresh, NOW).close()
    assert not has_votes(fresh)


def test_a_vote_database_that_is_gone_is_not_begun_anew(folder):
    """Nor where only its name changed: the old votes would be left with a new key."""
    path = folder.root / "study.toml"
    before = {file: file.read_bytes() for file in folder.root.glob("*.*") if file != path}
    text = path.read_text()
    path.write_text('store = "other.sqlite"\n' + text)
    for call in (has_votes, lambda renamed: open_collection(renamed, NOW)):
        with pytest.raises(StudyError, match=r"other\.sqlite with the votes is not; put it back"):
            call(StudyFolder(folder.root))
    assert {file: file.read_bytes() for file in folder.root.glob("*.*") if file != path} == before
    path.write_text(text)
    assert has_votes(StudyFolder(folder.root))
