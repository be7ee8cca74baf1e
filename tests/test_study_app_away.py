"""A database or a disk that is away: annotators are told to wait, nothing is lost, no restart."""

import resource
import shutil
import sys

import pytest

from evalkit.collection import invite
from evalkit.store import open_store
from evalkit.study_folder import StudyFolder
from tests.postgres import PostgresServer
from tests.study_factory import NOW, make_study
from tests.study_server import StudyServer


@pytest.fixture
def served(tmp_path):
    """A study folder, its server, and somebody at their first trial."""
    folder = make_study(tmp_path / "study")
    [link] = invite(folder, 1, NOW, "http://localhost")
    server = StudyServer(folder.store_address, folder.blinded)
    visitor = server.visitor(link)
    visitor.state = visitor.begin()
    yield folder, server, visitor
    server.kill()


def expect_away(server, visitor):
    """All that needs the database says that it is away; the page itself comes and waits."""
    trial_id = visitor.state["trials"][0]["trial_id"]
    answers = [
        visitor.vote(trial_id, "left"),
        visitor.trials(),
        visitor.start(),
        server.enter("?token=anything"),
    ]
    for answer in answers:
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert b"One moment" in answers[-1].body
    assert server.request("GET", "/", visitor.cookie).status == 200
    assert server.request("GET", "/").status == 403  # that needs no database to be said


def expect_back(folder, visitor):
    """The vote that could not be kept is sent again, and kept."""
    trial_id = visitor.state["trials"][0]["trial_id"]
    answer = visitor.vote(trial_id, "left")
    assert answer.json["vote"] == {"trial_id": trial_id, "choice": "left", "revision": 1}
    store = open_store(folder.store_address)
    assert store.vote(trial_id).choice == "left"
    assert len(store.votes()) == 1
    store.close()


def move(source, target):
    for file in source.glob("votes.sqlite*"):
        shutil.move(file, target / file.name)


def test_a_database_that_is_moved_away(served, tmp_path):
    folder, server, visitor = served
    move(folder.root, tmp_path)
    expect_away(server, visitor)
    assert not folder.store_address.exists()  # no empty one was made in its place
    move(tmp_path, folder.root)
    expect_back(folder, visitor)
    told = server.interrupt()[1].splitlines()
    assert [line.startswith("evalkit: ") for line in told] == [True]  # not for each request
    assert "the vote database does not answer now" in told[0]
    server.start()


def test_a_database_in_whose_place_lies_something_else(served, tmp_path):
    folder, server, visitor = served
    move(folder.root, tmp_path)
    folder.store_address.mkdir()
    expect_away(server, visitor)
    folder.store_address.rmdir()
    move(tmp_path, folder.root)
    expect_back(folder, visitor)


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files by prlimit")
def test_a_disk_without_room(served):
    """The server may make no file larger: what it writes fails as on a full disk."""
    folder, server, visitor = served
    trial_id = visitor.state["trials"][0]["trial_id"]
    pid = server.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    answers = [visitor.vote(trial_id, "left"), visitor.start()]
    assert [answer.status for answer in answers] == [503, 503]
    assert all(answer.headers["retry-after"] == "2" for answer in answers)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    expect_back(folder, visitor)


def test_a_journal_that_cannot_be_written_keeps_no_vote_unseen(served):
    folder, _, visitor = served
    trial_id = visitor.state["trials"][0]["trial_id"]
    folder.received.write_text("a file where the folder should be")
    assert visitor.vote(trial_id, "left").status == 503
    store = open_store(folder.store_address)
    assert store.vote(trial_id) is None
    store.close()
    folder.received.unlink()
    expect_back(folder, visitor)


def test_a_postgresql_server_that_is_stopped(tmp_path, server_folder):
    postgres = PostgresServer(server_folder)
    address = postgres.make_database()
    folder = make_study(tmp_path / "study")
    file = folder.root / "study.toml"
    file.write_text(file.read_text().replace("seed = 7", f'seed = 7\nstore = "{address}"', 1))
    folder = StudyFolder(folder.root)
    [link] = invite(folder, 1, NOW, "http://localhost")
    server = StudyServer(address, folder.blinded)
    try:
        visitor = server.visitor(link)
        visitor.state = visitor.begin()
        postgres.stop()
        expect_away(server, visitor)
        postgres = PostgresServer(server_folder)
        expect_back(folder, visitor)
    finally:
        server.kill()
        postgres.stop()
