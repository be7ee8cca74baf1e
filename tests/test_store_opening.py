"""Where a vote database lies, what is refused there, and what happens while it is away."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from evalkit import tables
from evalkit.collection import open_collection
from evalkit.errors import StoreError, StudyError
from evalkit.result_tables import analyze_study
from evalkit.store import (
    StoreUnavailableError,
    connect,
    create_store,
    described,
    open_store,
    store_exists,
)
from evalkit.study_folder import StudyFolder
from tests.postgres import PostgresServer, postgres_server
from tests.stores import Database, lease, planned, tallies_hold
from tests.study_factory import NOW, admit, make_study

LATER = "2030-01-01T10:00:05.000+00:00"
CLOSED = "postgresql://ann:hidden%2Fword@127.0.0.1:1/votes?connect_timeout=2"


@pytest.fixture
def file(tmp_path):
    """A place for a vote database in a file."""
    database = Database("sqlite", tmp_path)
    yield database
    database.close()


@pytest.fixture
def server(tmp_path):
    """A place for a vote database on a server."""
    database = Database("postgresql", tmp_path)
    yield database
    database.close()


# ---- what is there


def test_a_database_is_found_made_once_and_never_overwritten(database):
    assert not store_exists(database.address)
    with pytest.raises(StoreError, match=r"no vote database; start the study with: evalkit serve"):
        open_store(database.address)
    admit(database.create(), "ann")
    assert store_exists(database.address)
    with pytest.raises(StoreError, match="exists already; votes are never overwritten"):
        create_store(database.address, *planned())
    assert database.open().annotator("token-of-ann") is not None


def test_a_file_that_is_no_vote_database_is_refused(file, tmp_path):
    text = tmp_path / "text.sqlite"
    text.write_text("hello " * 1000)
    with pytest.raises(StoreError, match="not a vote database"):
        open_store(text)
    with sqlite3.connect(tmp_path / "other.sqlite") as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(StoreError, match="not a vote database"):
        open_store(tmp_path / "other.sqlite")
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


def test_a_server_s_database_with_other_tables_is_refused(server):
    server.execute("CREATE TABLE invoices (x integer)")
    for call in (
        lambda: store_exists(server.address),
        lambda: open_store(server.address),
        lambda: create_store(server.address, *planned()),
    ):
        with pytest.raises(StoreError, match=r"holds other tables \(invoices\); give the study a"):
            call()
    assert server.execute("SELECT table_name FROM information_schema.tables"
                          " WHERE table_schema = 'public'") == [("invoices",)]  # fmt: skip


def study_on(server, root, name="factory", **design):
    """A study folder whose votes lie on the server."""
    folder = make_study(root, **design)
    file = root / "study.toml"
    text = file.read_text().replace('name = "factory"', f'name = "{name}"')
    file.write_text(f'store = "{server.address}"\n' + text)
    return StudyFolder(folder.root)


def test_another_study_s_database_on_a_server_is_refused(server, tmp_path):
    first = study_on(server, tmp_path / "first")
    store = open_collection(first, NOW)
    other = study_on(server, tmp_path / "other", name="another")
    with pytest.raises(StudyError, match=r'the vote database of another study; give "another" a'):
        open_collection(other, NOW)
    admit(store, "ann")
    [trial] = lease(store, "ann", "t", n=1)
    store.record_vote(trial.trial_id, "ann", "left", 900, NOW)
    store.close()
    open_collection(first, NOW).close()
    analyze_study(first)
    with pytest.raises(StudyError, match="of another study"):
        open_collection(other, NOW)
    shutil.copy(first.lock_file, other.lock_file)
    with pytest.raises(StudyError):
        analyze_study(other)


def test_a_study_on_a_server_may_change_until_the_first_vote(server, tmp_path):
    open_collection(study_on(server, tmp_path / "study"), NOW).close()
    changed = study_on(server, tmp_path / "study", votes_per_pair=5)
    store = open_collection(changed, NOW)
    assert store.study().design.votes_per_pair == 5
    store.close()


def test_a_change_of_the_entry_is_taken_up_while_the_study_goes_on(tmp_path):
    folder = make_study(tmp_path / "study")
    store = open_collection(folder, NOW)
    assert store.study().entry.kind == "personal"
    file = folder.root / "study.toml"
    file.write_text(file.read_text() + '[entry]\nkind = "open"\nlimit = 3\n')
    open_collection(StudyFolder(folder.root), NOW).close()
    assert (store.study().entry.kind, store.entry().limit) == ("open", 3)
    store.close()


def test_a_plan_is_replaced_only_before_the_first_vote(store, database):
    admit(store, "ann")
    lease(store, "ann", "t")
    study, pairs = planned(n_prompts=3, trials_per_annotator=4)
    other = database.open()
    assert other.progress("ann", NOW).total == 12
    store.replace_plan(study, pairs)
    assert store.study().study_sha256 == other.study().study_sha256 == study.sha256
    assert store.trials().empty
    assert store.annotator("token-of-ann").consented_at is None
    store.consent("ann", LATER, "v1")
    store.start_session("session-of-ann", "ann", LATER)
    assert other.progress("ann", NOW).total == 4
    assert [trial.trial_id for trial in lease(other, "ann", "u", n=1)] == ["u0"]
    store.record_vote("u0", "ann", "left", 900, LATER)
    with pytest.raises(StoreError, match="holds votes"):
        other.replace_plan(study, pairs)
    assert len(store.votes()) == 1
    assert tallies_hold(database)


# ---- addresses


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:hidden@host:hidden/votes",
        "postgresql://ann:hidden@host",
        "mysql://ann:hidden@host/votes",
    ],
)
def test_an_address_that_cannot_be_read_is_not_repeated(address):
    with pytest.raises(StoreError, match=r"store: .*allowed is postgresql://user@host") as caught:
        open_store(address)
    assert "hidden" not in str(caught.value)


def test_no_password_stands_in_an_error():
    for address in (CLOSED, CLOSED + "&password=hidden2"):
        assert described(address) == "postgresql://ann@127.0.0.1:1/votes"
        for call in (lambda: open_store(address), lambda: store_exists(address)):  # noqa: B023
            with pytest.raises(StoreUnavailableError, match="does not answer now") as caught:
                call()
            assert "hidden" not in str(caught.value)
            assert "\n" not in str(caught.value)
            assert str(caught.value).startswith("postgresql://ann@127.0.0.1:1/votes: ")


def test_a_driver_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r'need psycopg.*pip install "evalkit\[postgres\]"'):
        open_store("postgresql://ann@127.0.0.1:1/votes")


# ---- durable


def test_votes_are_on_the_disk_when_they_are_acknowledged(store, database):
    """And leases with the next vote; a server that would not wait for its disk is told to."""
    said = "SHOW synchronous_commit" if database.is_server else "PRAGMA synchronous"
    if database.is_server:
        database.execute(f"ALTER DATABASE \"{database.name}\" SET synchronous_commit = 'off'")
        store = database.open()
    for durable, setting in [(True, {"on", 2}), (False, {"off", 1}), (True, {"on", 2})]:
        with store._writing(durable) as connection:
            assert connection.exec_driver_sql(said).scalar() in setting
    if not database.is_server:
        with store._reading() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_vote_is_durable_and_a_lease_need_not_be(store, monkeypatch):
    durable = []
    writing = store._connections.writing

    def hear(failed, is_durable):
        durable.append(is_durable)
        return writing(failed, is_durable)

    admit(store, "ann")
    monkeypatch.setattr(store._connections, "writing", hear)
    lease(store, "ann", "t")
    store.record_vote("t0", "ann", "left", 900, NOW)
    assert durable == [False, True]


# ---- away


def test_a_locked_file_is_not_taken_for_a_foreign_one(file, monkeypatch):
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.1)
    file.create().close()
    blocker = sqlite3.connect(file.address, isolation_level=None)
    blocker.execute("PRAGMA locking_mode=EXCLUSIVE")
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailableError, match=r"does not answer now \(database is locked\)"):
        open_store(file.address)
    blocker.close()
    open_store(file.address).close()


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


def test_a_file_that_is_moved_away_takes_no_vote_and_goes_on_when_it_is_back(file, tmp_path):
    """What is written into a file that was moved or replaced would be lost."""
    store = file.create()
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


def test_a_file_that_is_replaced_is_opened_anew(file, tmp_path):
    store = file.create()
    admit(store, "ann")
    lease(store, "ann", "t")
    store.close()
    copy = tmp_path / "copy"
    shutil.copy(file.address, copy)
    store.record_vote("t0", "ann", "left", 900, NOW)
    store.close()
    copy.replace(file.address)
    assert store.vote("t0") is None
    assert store.record_vote("t0", "ann", "right", 900, NOW).choice == "right"
    assert file.open().vote("t0").choice == "right"


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


def test_a_full_disk_loses_no_acknowledged_vote(file):
    """A process whose files may not grow any more, as where the disk has no room."""
    store = file.create()
    admit(store, "ann")
    ran = subprocess.run(
        [sys.executable, "-c", _FULL, str(file.address)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert sorted(store.votes()["trial_id"]) == sorted(ran.stdout.split())
    assert tallies_hold(file)


def test_a_server_s_full_disk_is_said_and_loses_nothing(server):
    """The server's own error for a full disk (53100), raised where a vote would be written."""
    store = server.create()
    admit(store, "ann")
    lease(store, "ann", "t")
    store.record_vote("t0", "ann", "left", 900, NOW)
    server.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger AS $$ BEGIN"
        " RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';"
        " END $$ LANGUAGE plpgsql"
    )
    server.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON votes FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    with pytest.raises(StoreUnavailableError, match="No space left on device"):
        store.record_vote("t1", "ann", "left", 900, NOW)
    assert server.execute("SELECT state FROM trials WHERE trial_id = 't1'") == [("open",)]
    server.execute("DROP TRIGGER full_disk ON votes")
    assert store.record_vote("t1", "ann", "left", 900, NOW).choice == "left"
    assert tallies_hold(server)


def test_a_connection_that_is_lost_between_calls_is_made_again(server):
    store = server.create()
    admit(store, "ann")
    lease(store, "ann", "t")
    postgres_server().disconnect_all(server.name)
    assert store.record_vote("t0", "ann", "left", 900, NOW).choice == "left"
    postgres_server().disconnect_all(server.name)
    assert store.votes()["trial_id"].tolist() == ["t0"]


def test_a_connection_that_is_lost_within_a_call_leaves_nothing_half_done(server, monkeypatch):
    """Lost when the vote is written and the tallies are not: both are taken back."""
    from evalkit.store import votes

    store = server.create()
    admit(store, "ann")
    lease(store, "ann", "t")
    count = votes._count

    def cut_off(*arguments):
        postgres_server().disconnect_all(server.name)
        count(*arguments)

    monkeypatch.setattr(votes, "_count", cut_off)
    with pytest.raises(StoreUnavailableError, match="does not answer now"):
        store.record_vote("t0", "ann", "left", 900, NOW)
    monkeypatch.undo()
    assert store.vote("t0") is None
    assert store.record_vote("t0", "ann", "right", 900, NOW).choice == "right"
    assert tallies_hold(server)


def test_a_server_that_stops_and_starts_again_has_every_vote(tmp_path_factory):
    """A server of its own, stopped while a store is open and started again in its folder."""
    folder = tmp_path_factory.mktemp("server") / "data"
    server = PostgresServer(folder)
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
    again = PostgresServer(folder)
    assert store.record_vote("t1", "ann", "left", 900, NOW).choice == "left"
    assert store.votes()["trial_id"].tolist() == ["t0", "t1"]
    store.close()
    again.stop()


def test_an_empty_plan_is_no_mistake(database):
    """A study whose pairs are still to come has nothing to show."""
    study, _ = planned()
    store = create_store(database.address, study, pd.DataFrame(tables.BLINDED_PAIRS.empty()))
    admit(store, "ann")
    assert lease(store, "ann", "t") == []
    store.close()
