"""A new version of a study: what comes along, what does not, and how it names the old one."""

import shutil
import zipfile

import pytest

from evalkit.archive import archive_study
from evalkit.collection import open_collection
from evalkit.errors import StudyError
from evalkit.generation import generate
from evalkit.lock import lock_hash, read_lock
from evalkit.new_version import new_version
from evalkit.presets import init_study
from evalkit.study_folder import StudyFolder
from tests.study_factory import NOW, make_study


@pytest.fixture
def old(tmp_path):
    folder = make_study(tmp_path / "old", n_prompts=2)
    open_collection(folder, NOW).close()
    return folder


def test_the_new_study_names_the_old_one_and_has_no_votes(old, tmp_path):
    (old.root / "notes.txt").write_text("mine")
    (old.root / "study.toml").write_text(
        (old.root / "study.toml").read_text().replace("seed = 7", "seed = 7  # a comment of mine")
    )
    file = new_version(StudyFolder(old.root), tmp_path / "second")
    new = StudyFolder(file.parent)
    assert new.study.name == "second"
    assert new.study.previous.model_dump() == {"name": "factory", "lock": lock_hash(old)}
    assert len(lock_hash(old)) == 12
    assert "# a comment of mine" in file.read_text()
    assert {path.name for path in new.root.iterdir()} == {
        "study.toml", "prompts.csv", "images", "notes.txt"
    }  # fmt: skip
    assert new.study.sha256 != old.study.sha256


def test_a_third_version_names_the_second_alone_and_its_lock_says_so(old, tmp_path):
    new_version(old, tmp_path / "second")
    second = StudyFolder(tmp_path / "second")
    shutil.copy(old.images_file, second.images_file)
    open_collection(second, NOW).close()
    assert read_lock(second)["previous"] == {"name": "factory", "lock": lock_hash(old)}
    third = StudyFolder(new_version(second, tmp_path / "third").parent)
    assert third.study.previous.model_dump() == {"name": "second", "lock": lock_hash(second)}


def test_images_whose_settings_stay_are_not_made_again(tmp_path):
    """A real generation by the built-in models; in the new version one model takes more steps."""
    file = init_study(tmp_path / "first", "scenes")
    file.write_text(_small(file.read_text()))
    first = StudyFolder(tmp_path / "first")
    made = generate(first)
    assert len(made) > 0
    new = StudyFolder(new_version(first, tmp_path / "second").parent)
    seen = []
    generate(new, progress=lambda done, total, model: seen.append((done, total)))
    assert seen == [(len(made), len(made))]
    text = (new.root / "study.toml").read_text()
    text = text.replace("[models.scenes-turbo]\nsteps = 1", "[models.scenes-turbo]\nsteps = 3")
    (new.root / "study.toml").write_text(text)
    seen.clear()
    generate(StudyFolder(new.root), progress=lambda done, total, model: seen.append((done, total)))
    share = sum(made["model"] == "scenes-turbo")
    assert seen[0] == (len(made) - share, len(made)) and seen[-1] == (len(made), len(made))
    assert first.read_images().equals(made)


def _small(text):
    assert "n = 24" in text
    return text.replace("n = 24", "n = 2")


def test_nothing_is_written_where_the_folder_or_the_name_cannot_be(old, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(StudyError, match="full: exists already"):
        new_version(old, tmp_path / "full")
    with pytest.raises(StudyError, match="a name has letters"):
        new_version(old, tmp_path / "two words")
    with pytest.raises(StudyError, match='a"b: "a"b"; a name has letters'):
        new_version(old, tmp_path / 'a"b')
    assert {path.name for path in tmp_path.iterdir()} == {"old", "full"}


def test_what_was_made_of_the_old_votes_stays_behind(old, tmp_path):
    """A picture of its screen, an archive and an export that were written into its folder."""
    old.screen_file.write_bytes(b"picture")
    archive_study(old, old.root / "kept.zip", NOW)
    export = old.root / "mine" / "README.md"
    export.parent.mkdir()
    export.write_text("# Human preferences of the study factory\n")
    with zipfile.ZipFile(old.root / "papers.zip", "w") as file:
        file.writestr("paper.txt", "mine")
    new = StudyFolder(new_version(old, tmp_path / "second").parent)
    assert {path.name for path in new.root.iterdir()} == {
        "study.toml", "prompts.csv", "images", "papers.zip"
    }  # fmt: skip


def test_prompts_that_lie_beside_the_study_are_not_lost_from_sight(old, tmp_path):
    shutil.copy(old.prompts_file, tmp_path / "p.csv")
    text = (old.root / "study.toml").read_text()
    assert 'source = "prompts.csv"' in text
    (old.root / "study.toml").write_text(text.replace('"prompts.csv"', '"../p.csv"'))
    beside = StudyFolder(old.root)
    with pytest.raises(StudyError, match=r'prompts\.source = "\.\./p\.csv" is named from'):
        new_version(beside, tmp_path / "deep" / "second")
    assert not (tmp_path / "deep").exists()
    new = StudyFolder(new_version(beside, tmp_path / "second").parent)
    assert (new.root / new.study.prompts.source).is_file()
