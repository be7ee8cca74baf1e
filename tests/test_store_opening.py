"""Where a vote database lies, what is refused there, whose it is, how it commits."""

import sqlite3
import sys

import pandas as pd
import pytest

from evalkit import tables
from evalkit.collection import open_collection
from evalkit.errors import StoreError, StudyError
from evalkit.lock import write_lock
from evalkit.result_tables import analyze_study
from evalkit.store import (
    StoreUnavailableError,
    create_store,
    described,
    open_store,
    store_exists,
)
from evalkit.study_folder import StudyFolder
from tests.stores import lease, planned, tallies_hold
from tests.study_factory import NOW, admit, make_study
from tests.study_server import free_port
from tests.test_cli import assert_refused, evalkit

LATER = "2030-01-01T10:00:05.000+00:00"
CLOSED = "postgresql://ann:hidden%2Fword@127.0.0.1:1/votes?connect_timeout=2"


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


def test_a_file_that_is_no_vote_database_is_refused(sqlite, tmp_path):
    text = tmp_path / "text.sqlite"
    text.write_text("hello " * 1000)
    with pytest.raises(StoreError, match="not a vote database"):
        open_store(text)
    with sqlite3.connect(tmp_path / "other.sqlite") as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(StoreError, match="not a vote database"):
        open_store(tmp_path / "other.sqlite")
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


def test_a_server_s_database_with_other_tables_is_refused(postgres):
    postgres.execute("CREATE TABLE invoices (x integer)")
    for call in (
        lambda: store_exists(postgres.address),
        lambda: open_store(postgres.address),
        lambda: create_store(postgres.address, *planned()),
    ):
        with pytest.raises(StoreError, match=r"holds other tables \(invoices\); give the study a"):
            call()
    assert postgres.execute("SELECT table_name FROM information_schema.tables"
                          " WHERE table_schema = 'public'") == [("invoices",)]  # fmt: skip


def study_on(server, root, name="factory", **design):
    """A study folder whose votes lie on the server."""
    folder = make_study(root, **design)
    file = root / "study.toml"
    text = file.read_text().replace('name = "factory"', f'name = "{name}"')
    file.write_text(f'store = "{server.address}"\n' + text)
    return StudyFolder(folder.root)


def test_another_study_s_database_on_a_server_is_refused(postgres, tmp_path):
    first = study_on(postgres, tmp_path / "first")
    store = open_collection(first, NOW)
    other = study_on(postgres, tmp_path / "other", name="another")
    with pytest.raises(StudyError, match=r'the vote database of another study; give "another" a'):
        open_collection(other, NOW)
    admit(store, "ann")
    [trial] = lease(store, "ann", "t", n=1)
    store.record_vote(trial.trial_id, "ann", "left", 900, NOW)
    store.close()
    open_collection(first, NOW).close()
    analyze_study(first, early_at=NOW)
    with pytest.raises(StudyError, match="of another study"):
        open_collection(other, NOW)
    write_lock(other, NOW)
    with pytest.raises(StudyError, match="of another study"):
        analyze_study(other, early_at=NOW)


def test_no_command_of_the_coordinator_touches_another_study_s_database(
    postgres, tmp_path, monkeypatch
):
    first = study_on(postgres, tmp_path / "first")
    open_collection(first, NOW).close()
    other = study_on(postgres, tmp_path / "other", name="another").root
    monkeypatch.setenv("EVALKIT_DASHBOARD_PASSWORD", "long enough for a door")
    for command in (
        ("status", other),
        ("pause", other, "--reason", "x"),
        ("block", other, "ann", "--reason", "x"),
        ("dashboard", other, "--port", free_port()),
        ("store", "upgrade", other),
    ):
        assert_refused(evalkit(*command), "is the vote database of another study")
    store = open_store(postgres.address)
    assert store.paused() is None
    assert store.log().empty
    store.close()


def test_a_study_on_a_server_may_change_until_the_first_vote(postgres, tmp_path):
    open_collection(study_on(postgres, tmp_path / "study"), NOW).close()
    changed = study_on(postgres, tmp_path / "study", votes_per_pair=5)
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
    assert other.progress("ann").total == 12
    store.replace_plan(study, pairs)
    assert store.study().study_sha256 == other.study().study_sha256 == study.sha256
    assert store.trials().empty
    assert store.annotator("token-of-ann").consented_at is None
    store.consent("ann", LATER, "v1")
    store.start_session("session-of-ann", "ann", LATER)
    assert other.progress("ann").total == 4
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


def test_an_empty_plan_is_no_mistake(database):
    """A study whose pairs are still to come has nothing to show."""
    study, _ = planned()
    store = create_store(database.address, study, pd.DataFrame(tables.BLINDED_PAIRS.empty()))
    admit(store, "ann")
    assert lease(store, "ann", "t") == []
    store.close()
