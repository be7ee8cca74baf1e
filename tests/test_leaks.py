"""The leak check on what lies in a study folder: each leak is planted and caught by its name."""

import hashlib
import secrets
import shutil

import pytest

from evalkit.collection import open_collection
from evalkit.leaks.check import check_at_rest
from evalkit.leaks.record import Record
from evalkit.store import open_store
from evalkit.study_folder import StudyFolder
from tests import planted_leaks
from tests.postgres import postgres_server
from tests.study_factory import NOW, admit, make_study


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A study with 60 images of three models, and the trials of three annotators."""
    folder = make_study(
        tmp_path_factory.mktemp("leaks") / "study",
        n_prompts=10,
        seeds=(0, 1),
        trials_per_annotator=40,
    )
    store = open_collection(folder, NOW)
    for number in range(3):
        vote_through(store, f"annotator-{number}")
    store.close()
    return folder


def vote_through(store, annotator_id):
    """Real trials under random ids, as the app issues them."""
    session = admit(store, annotator_id)
    while True:
        trial = store.next_trial(
            annotator_id, session, secrets.token_urlsafe(12), NOW, secrets.randbits(63)
        )
        if trial is None:
            return
        store.record_vote(trial.trial_id, annotator_id, "left", 900, NOW)


@pytest.fixture
def folder(clean, tmp_path):
    """A copy of the clean study; shutil keeps the files' times."""
    shutil.copytree(clean.root, tmp_path / "study")
    return StudyFolder(tmp_path / "study")


def findings_of(folder, before=None):
    store = open_store(folder.store_address)
    try:
        return check_at_rest(folder, store, before or Record())
    finally:
        store.close()


def leaks_in(folder):
    return {finding.name for finding in findings_of(folder)[0] if not finding.passed}


def test_a_clean_study_passes(clean):
    findings, pictures = findings_of(clean)
    assert [finding.line for finding in findings if not finding.passed] == []
    assert {picture.seen for picture in pictures.values()} == {"same bytes"}
    so_far = next(finding for finding in findings if finding.name == "tell by sides so far")
    assert "n = " in so_far.found  # the trials were looked at


PLANTED = [
    (planted_leaks.metadata, {"metadata", "encoding"}),
    (planted_leaks.other_format, {"format", "pictures"}),
    (planted_leaks.palette, {"format", "metadata", "pictures"}),
    (planted_leaks.other_size, {"canvas", "pictures"}),
    (planted_leaks.trailing_bytes, {"trailing bytes", "encoding"}),
    (planted_leaks.other_compression, {"encoding"}),
    (planted_leaks.swapped_pictures, {"pictures"}),
    (planted_leaks.times_of_models, {"file times", "tell by file times"}),
    (planted_leaks.permissions_of_models, {"file owners"}),
    (planted_leaks.stray_file, {"public files"}),
    (planted_leaks.missing_file, {"public files"}),
    (planted_leaks.names_not_at_random, {"file names"}),
    (
        planted_leaks.names_in_order_of_models,
        {"tell by file names", "tell by file names that are neighbours"},
    ),
    (planted_leaks.names_in_clusters, {"tell by file names that are neighbours"}),
    (
        planted_leaks.pairs_in_order_of_models,
        {"tell by database order", "tell by database order of neighbours"},
    ),
    (planted_leaks.sides_of_models, {"tell by sides so far"}),
    (planted_leaks.positions_of_models, {"tell by positions so far"}),
    (planted_leaks.ids_of_models, {"tell by trial ids"}),
]


@pytest.mark.parametrize(
    ("plant", "names"), PLANTED, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_leak_is_caught_by_its_name(folder, plant, names):
    plant(folder)
    assert leaks_in(folder) == names


def test_the_line_of_a_leak_says_what_where_and_what_to_do(folder):
    planted_leaks.swapped_pictures(folder)
    findings, _ = findings_of(folder)
    line = next(finding.line for finding in findings if finding.name == "pictures")
    first, second = sorted(path.name for path in list(planted_leaks.files_of_models(folder))[:2])
    assert line == (
        f"LEAK  pictures: a public image shows another picture ({first}, {second}); "
        "put back the image from a copy, or make a new study"
    )


def test_an_original_that_is_gone_or_changed_is_no_reason_to_pass(folder):
    original = folder.images / folder.read_images()["file_name"].iloc[0]
    content = original.read_bytes()
    original.write_bytes(content + b"\0")
    found = {finding.name: finding.found for finding in findings_of(folder)[0]}
    assert found["pictures"] == f"{original.name} is not the image that the study is locked with"
    original.unlink()
    found = {finding.name: finding.found for finding in findings_of(folder)[0]}
    assert found["pictures"].startswith(f"the original {original.name} is missing")


def test_pictures_that_were_compared_need_no_original_again(folder):
    _, pictures = findings_of(folder)
    shutil.rmtree(folder.images)
    findings, again = findings_of(folder, Record(pictures=pictures))
    assert again == pictures
    assert all(finding.passed for finding in findings)


def test_the_check_leaves_the_study_s_votes_as_they_are(folder):
    before = hashlib.sha256(folder.store_address.read_bytes()).hexdigest()
    findings_of(folder)
    assert hashlib.sha256(folder.store_address.read_bytes()).hexdigest() == before


def test_a_study_whose_votes_lie_on_a_server_is_checked_alike(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=6)
    file = folder.root / "study.toml"
    address = postgres_server().make_database()
    file.write_text(file.read_text().replace("seed = 7", f'seed = 7\nstore = "{address}"'))
    folder = StudyFolder(folder.root)
    store = open_collection(folder, NOW)
    vote_through(store, "annotator")
    before = [frame().to_csv() for frame in (store.trials, store.votes, store.pairs, store.log)]
    findings, _ = check_at_rest(folder, store, Record())
    assert [finding.line for finding in findings if not finding.passed] == []
    after = [frame().to_csv() for frame in (store.trials, store.votes, store.pairs, store.log)]
    assert after == before
    store.close()
