"""A vote database that is locked, gone, full or cut off: said so, and nothing acknowledged lost."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.store import StoreUnavailableError, connect, create_store, open_store
from tests.postgres import PostgresServer, postgres_server
from tests.stores import lease, planned, tallies_hold
from tests.study_factory import NOW, admit


def test_a_locked_file_is_not_taken_for_a_foreign_one(sqlite, monkeypatch):
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.1)
    sqlite.create().close()
    blocker = sqlite3.connect(sqlite.address, isolation_level=None)
    blocker.execute("PRAGMA locking_mode=EXCLUSIVE")
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailableError, match=r"does not answer now \(database is locked\)"):
        open_store(sqlite.address)
    blocker.close()
    open_store(sqlite.address).close()


def test_a_writer_that_does_not_end_lets_others_say_so(database, monkeypatch):
    monkeypatch.setattr(connect, "BUSY_SECONDS", 1)
    store, other = database.create(), database.open()
    admit(store, "ann")
    lease(store, "ann", "t")
    with other._writing(), pytest.raises(StoreUnavailableError, match="does not answer now"):
        store.record_vote("t0", "ann", "left", 900, NOW)
    assert store.record_vote("t0", "ann", "left", 900, NOW).choice == "left"
    with store._writing(), pytest.raises(StoreUnavailableError, match="another writer does not"):
        store.record_vote("t1", "ann", "left", 900, NOW)
    assert store.record_vote("t1", "ann", "left", 900, NOW).choice == "left"
    assert tallies_hold(database)


def test_a_file_that_is_moved_away_takes_no_vote_and_goes_on_when_it_is_back(sqlite, tmp_path):
    """What is written into a file that was moved or replaced would be lost."""
    store = sqlite.create()
    admit(store, "ann")
    lease(store, "ann", "t")
    store.record_vote("t0", "ann", "left", 900, NOW)
    away = tmp_path / "away"
    away.mkdir()
    moved = list(tmp_path.glob("votes.sqlite*"))
    for path in moved:
        path.rename(away / path.name)
    for call in (
        lambda: store.record_vote("t1", "ann", "left", 900, NOW),
        lambda: store.vote("t0"),
    ):
        with pytest.raises(StoreUnavailableError, match="unable to open database file"):
            call()
    assert list(tmp_path.glob("votes.sqlite*")) == []  # nothing is begun anew in its place
    for path in away.iterdir():
        path.rename(tmp_path / path.name)
    assert store.record_vote("t1", "ann", "left", 900, NOW).choice == "left"
    assert store.votes()["trial_id"].tolist() == ["t0", "t1"]


def test_a_file_that_is_replaced_is_opened_anew(sqlite, tmp_path):
    store = sqlite.create()
    admit(store, "ann")
    lease(store, "ann", "t")
    store.close()
    copy = tmp_path / "copy"
    shutil.copy(sqlite.address, copy)
    store.record_vote("t0", "ann", "left", 900, NOW)
    store.close()
    copy.replace(sqlite.address)
    assert store.vote("t0") is None
    assert store.record_vote("t0", "ann", "right", 900, NOW).choice == "right"
    assert sqlite.open().vote("t0").choice == "right"


_FULL = """
import resource, signal, sys
from pathlib import Path
from evalkit.store import StoreUnavailableError, open_store
from tests.stores import lease
from tests.study_factory import NOW

store = open_store(Path(sys.argv[1]))
limit = Path(sys.argv[1] + "-wal").stat().st_size if Path(sys.argv[1] + "-wal").exists() else 0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit + 200_000, resource.RLIM_INFINITY))
acknowledged, refused = [], 0
for number in range(12):
    try:
        for trial in lease(store, "ann", f"{number}-", n=1):
            store.record_vote(trial.trial_id, "ann", "left", 900, NOW, reason="x" * 3000)
            acknowledged.append(trial.trial_id)
    except StoreUnavailableError as error:
        assert "make room on the disk" in str(error), error
        refused += 1
assert acknowledged and refused, (acknowledged, refused)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for trial in lease(store, "ann", "room", n=1):
    store.record_vote(trial.trial_id, "ann", "left", 900, NOW)
    acknowledged.append(trial.trial_id)
print(*acknowledged)
"""


def test_a_full_disk_loses_no_acknowledged_vote(sqlite):
    """A process whose files may not grow any more, as where the disk has no room."""
    store = sqlite.create()
    admit(store, "ann")
    ran = subprocess.run(
        [sys.executable, "-c", _FULL, str(sqlite.address)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert sorted(store.votes()["trial_id"]) == sorted(ran.stdout.split())
    assert tallies_hold(sqlite)


def test_a_server_s_full_disk_is_said_and_loses_nothing(postgres):
    """The server's own error for a full disk (53100), raised where a vote would be written."""
    store = postgres.create()
    admit(store, "ann")
    lease(store, "ann", "t")
    store.record_vote("t0", "ann", "left", 900, NOW)
    postgres.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger AS $$ BEGIN"
        " RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';"
        " END $$ LANGUAGE plpgsql"
    )
    postgres.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON votes FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    with pytest.raises(StoreUnavailableError, match="No space left on device"):
        store.record_vote("t1", "ann", "left", 900, NOW)
    assert postgres.execute("SELECT state FROM trials WHERE trial_id = 't1'") == [("open",)]
    postgres.execute("DROP TRIGGER full_disk ON votes")
    assert store.record_vote("t1", "ann", "left", 900, NOW).choice == "left"
    assert tallies_hold(postgres)


def test_a_connection_that_is_lost_between_calls_is_made_again(postgres):
    store = postgres.create()
    admit(store, "ann")
    lease(store, "ann", "t")
    postgres_server().disconnect_all(postgres.name)
    assert store.record_vote("t0", "ann", "left", 900, NOW).choice == "left"
    postgres_server().disconnect_all(postgres.name)
    assert store.votes()["trial_id"].tolist() == ["t0"]


def test_a_connection_that_is_lost_within_a_call_leaves_nothing_half_done(postgres, monkeypatch):
    """Lost when the vote is written and the tallies are not: both are taken back."""
    from evalkit.store import votes

    store = postgres.create()
    admit(store, "ann")
    lease(store, "ann", "t")
    count = votes._count

    def cut_off(*arguments):
        postgres_server().disconnect_all(postgres.name)
        count(*arguments)

    monkeypatch.setattr(votes, "_count", cut_off)
    with pytest.raises(StoreUnavailableError, match="does not answer now"):
        store.record_vote("t0", "ann", "left", 900, NOW)
    monkeypatch.undo()
    assert store.vote("t0") is None
    assert store.record_vote("t0", "ann", "right", 900, NOW).choice == "right"
    assert tallies_hold(postgres)


def test_a_server_that_stops_and_starts_again_has_every_vote(server_folder):
    """A server of its own, stopped while a store is open and started again in its folder."""
    server = PostgresServer(server_folder)
    address = server.make_database()
    store = create_store(address, *planned())
    admit(store, "ann")
    lease(store, "ann", "t")
    store.record_vote("t0", "ann", "left", 900, NOW)
    server.stop()
    for call in (
        lambda: store.record_vote("t1", "ann", "left", 900, NOW),
        lambda: store.logged_in("cookie"),
        lambda: open_store(address),
    ):
        with pytest.raises(StoreUnavailableError, match="see that its server runs"):
            call()
    again = PostgresServer(server_folder)
    assert store.record_vote("t1", "ann", "left", 900, NOW).choice == "left"
    assert store.votes()["trial_id"].tolist() == ["t0", "t1"]
    store.close()
    again.stop()
