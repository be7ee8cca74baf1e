"""A vote database of schema 1, as evalkit 0.1 wrote it, brought to the schema of today."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from evalkit.cli import app
from evalkit.errors import StoreError
from evalkit.store import open_store
from evalkit.store.connect import Connections
from evalkit.store.schema import SCHEMA_VERSION
from evalkit.store.upgrade import upgrade_store
from tests.postgres import postgres_server
from tests.stores import lease, planned, tallies_hold
from tests.study_factory import NOW

LATER = "2030-01-01T10:00:05.000+00:00"
ROOT = Path(__file__).parent.parent

SCHEMA_1 = (
    """CREATE TABLE annotators (
        annotator_id TEXT NOT NULL, token_sha256 TEXT NOT NULL, simulated BOOLEAN NOT NULL,
        invited_at TEXT NOT NULL, consented_at TEXT,
        PRIMARY KEY (annotator_id), UNIQUE (token_sha256))""",
    """CREATE TABLE meta ("key" TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key"))""",
    """CREATE TABLE questions (
        question_id TEXT NOT NULL, position INTEGER NOT NULL, text TEXT NOT NULL,
        show_prompt BOOLEAN NOT NULL, tie BOOLEAN NOT NULL, both_bad BOOLEAN NOT NULL,
        PRIMARY KEY (question_id), UNIQUE (position))""",
    """CREATE TABLE pairs (
        pair_id TEXT NOT NULL, question_id TEXT, matchup TEXT NOT NULL, prompt_id TEXT NOT NULL,
        foil_prompt_id TEXT NOT NULL, prompt TEXT NOT NULL, file_a TEXT NOT NULL,
        file_b TEXT NOT NULL,
        PRIMARY KEY (pair_id),
        FOREIGN KEY(question_id) REFERENCES questions (question_id) ON DELETE RESTRICT)""",
    """CREATE TABLE sessions (
        session_id TEXT NOT NULL, annotator_id TEXT NOT NULL, started_at TEXT NOT NULL,
        viewport_width INTEGER, viewport_height INTEGER, pixel_ratio FLOAT,
        PRIMARY KEY (session_id),
        FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id) ON DELETE RESTRICT)""",
    """CREATE TABLE trials (
        trial_id TEXT NOT NULL, annotator_id TEXT NOT NULL, session_id TEXT NOT NULL,
        question_id TEXT NOT NULL, pair_id TEXT NOT NULL,
        "left" TEXT NOT NULL CHECK ("left" IN ('a', 'b')), kind TEXT NOT NULL,
        position INTEGER NOT NULL, issued_at TEXT NOT NULL,
        PRIMARY KEY (trial_id), UNIQUE (annotator_id, position),
        UNIQUE (annotator_id, question_id, pair_id, kind),
        FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id) ON DELETE RESTRICT,
        FOREIGN KEY(session_id) REFERENCES sessions (session_id) ON DELETE RESTRICT,
        FOREIGN KEY(question_id) REFERENCES questions (question_id) ON DELETE RESTRICT,
        FOREIGN KEY(pair_id) REFERENCES pairs (pair_id) ON DELETE RESTRICT)""",
    "CREATE INDEX trials_by_pair ON trials (kind, question_id, pair_id)",
    """CREATE TABLE votes (
        trial_id TEXT NOT NULL, revision INTEGER NOT NULL, corrects INTEGER, choice TEXT NOT NULL,
        response_ms INTEGER NOT NULL, created_at TEXT NOT NULL,
        PRIMARY KEY (trial_id, revision),
        FOREIGN KEY(trial_id) REFERENCES trials (trial_id) ON DELETE RESTRICT)""",
)
ROWS_1 = (
    f"INSERT INTO annotators VALUES ('ann', 'hash-1', false, '{NOW}', '{NOW}')",
    f"INSERT INTO annotators VALUES ('bot', 'hash-2', true, '{NOW}', NULL)",
    "INSERT INTO questions VALUES ('alignment', 0, 'Which fits?', true, true, false)",
    "INSERT INTO questions VALUES ('quality', 1, 'Which is better?', false, true, true)",
    "INSERT INTO pairs VALUES ('p1', NULL, 'matchup-1', 'x', 'x', 'an otter', '1.png', '2.png')",
    "INSERT INTO pairs VALUES ('p2', NULL, 'matchup-1', 'y', 'y', 'a heron', '3.png', '4.png')",
    "INSERT INTO pairs VALUES ('p3', NULL, 'matchup-2', 'y', 'y', 'a heron', '3.png', '5.png')",
    "INSERT INTO pairs VALUES ('c1', 'quality', 'check', 'x', 'x', 'an otter', '6.png', '1.png')",
    f"INSERT INTO sessions VALUES ('s1', 'ann', '{NOW}', 1280, 720, 1.5)",
    f"INSERT INTO trials VALUES ('t1', 'ann', 's1', 'quality', 'p1', 'a', 'main', 1, '{NOW}')",
    f"INSERT INTO trials VALUES ('t2', 'ann', 's1', 'quality', 'c1', 'b', 'attention', 2, '{NOW}')",
    f"INSERT INTO trials VALUES ('t3', 'ann', 's1', 'quality', 'p2', 'b', 'main', 3, '{NOW}')",
    f"INSERT INTO trials VALUES ('t4', 'ann', 's1', 'quality', 'p1', 'b', 'repeat', 4, '{NOW}')",
    f"INSERT INTO trials VALUES ('t5', 'ann', 's1', 'quality', 'p3', 'b', 'main', 5, '{NOW}')",
    f"INSERT INTO votes VALUES ('t1', 1, NULL, 'right', 900, '{NOW}')",
    f"INSERT INTO votes VALUES ('t2', 1, NULL, 'left', 1234567, '{LATER}')",
    f"INSERT INTO votes VALUES ('t3', 1, NULL, 'tie', 0, '{NOW}')",
    f"INSERT INTO votes VALUES ('t3', 2, 1, 'left', 77, '{LATER}')",
    f"INSERT INTO votes VALUES ('t4', 1, NULL, 'both_bad', 901, '{NOW}')",
)
KEPT = {
    "annotators": "annotator_id, token_sha256, simulated, invited_at, consented_at",
    "sessions": (
        "session_id, annotator_id, started_at, viewport_width, viewport_height, pixel_ratio"
    ),
    "questions": "question_id, position, text, show_prompt, tie, both_bad",
    "pairs": "pair_id, question_id, matchup, prompt_id, foil_prompt_id, prompt, file_a, file_b",
    "trials": (
        'trial_id, annotator_id, session_id, question_id, pair_id, "left", kind, position, '
        "issued_at"
    ),
    "votes": "trial_id, revision, corrects, choice, response_ms, created_at",
}
CHECKS = pd.DataFrame([{"pair_id": "c1", "expected": "b", "foil": "pixelated"}])


def fill(database, study):
    meta = {
        "schema_version": 1,
        "plan_id": "plan-1",
        "study_sha256": study.sha256,
        "design": {"votes_per_pair": 2, "trials_per_annotator": 12, "repeat_share": 0.05},
        "session": {"consent": "You will compare images.", "instructions": "Look at both."},
        "viewing_size": 64,
    }
    for statement in (*SCHEMA_1, *ROWS_1):
        database.execute(statement)
    for key, value in meta.items():
        database.execute(f"INSERT INTO meta VALUES ('{key}', '{json.dumps(value)}')")


@pytest.fixture
def study():
    return planned()[0]


@pytest.fixture
def old(database, study):
    """A place that holds a database of schema 1."""
    if not database.is_server:  # as evalkit left it
        database.execute("PRAGMA journal_mode=WAL")
    fill(database, study)
    return database


def everything(database, columns=KEPT):
    return {
        table: sorted(database.execute(f"SELECT {names} FROM {table}"), key=repr)
        for table, names in columns.items()
    }


def tables_of(address):
    """What an inspection tells of every table: columns, keys, constraints, indexes."""
    connections = Connections(address)
    inspector = sa.inspect(connections.engine)

    def sorted_by_name(rows):
        return sorted(({**row} for row in rows), key=lambda row: row["name"])

    found = {
        name: {
            "columns": [
                (c["name"], str(c["type"]), c["nullable"], c["default"])
                for c in inspector.get_columns(name)
            ],
            "primary key": inspector.get_pk_constraint(name),
            "foreign keys": sorted_by_name(inspector.get_foreign_keys(name)),
            "unique": sorted_by_name(inspector.get_unique_constraints(name)),
            "checks": sorted_by_name(inspector.get_check_constraints(name)),
            "indexes": sorted_by_name(inspector.get_indexes(name)),
        }
        for name in inspector.get_table_names()
    }
    connections.close()
    return found


def test_an_older_schema_is_told_and_a_newer_one_too(old, study):
    with pytest.raises(StoreError, match=r"schema 1 of an older evalkit.*evalkit store upgrade"):
        open_store(old.address)
    old.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(StoreError, match=r"schema 99 of a newer evalkit, this one reads 2"):
        open_store(old.address)
    with pytest.raises(StoreError, match="schema 99 of a newer evalkit"):
        upgrade_store(old.address, study, CHECKS, NOW)


def test_every_row_stays_to_the_last_value(old, study):
    before = everything(old)
    assert len(before["votes"]) == 5
    done = upgrade_store(old.address, study, CHECKS, NOW)
    assert (done.before, done.after) == (1, SCHEMA_VERSION)
    assert everything(old) == before
    store = old.open()
    votes = store.votes().set_index("trial_id")
    assert votes["choice"].to_dict() == {
        "t1": "right", "t2": "left", "t3": "left", "t4": "both_bad",
    }  # fmt: skip
    assert votes["response_ms"].to_dict() == {"t1": 900, "t2": 1234567, "t3": 0, "t4": 901}
    assert store.vote("t3").revision == 2
    assert store.log()[["at", "actor", "event", "detail"]].values.tolist() == [
        [NOW, "app", "upgrade", "1 to 2"]
    ]


def test_what_is_new_follows_from_what_was_there(old, study):
    """Votes for image a: none; for b: t1 (right, a lies left) and t3 (left, b lies left)."""
    upgrade_store(old.address, study, CHECKS, NOW)
    store = old.open()
    assert tallies_hold(old)
    voted = store.pair_votes().set_index(["question_id", "pair_id"])["voted"]
    assert voted[voted > 0].to_dict() == {("quality", "p1"): 1, ("quality", "p2"): 1}
    sides = old.execute(
        "SELECT question_id, matchup, a, b, ties FROM matchup_tallies ORDER BY question_id, matchup"
    )
    assert sides == [
        ("alignment", "matchup-1", 0, 0, 0),
        ("alignment", "matchup-2", 0, 0, 0),
        ("quality", "matchup-1", 0, 2, 0),
        ("quality", "matchup-2", 0, 0, 0),
    ]
    checks = store.checks()[["pair_id", "question_id", "role", "expected", "foil"]]
    assert checks.values.tolist() == [["c1", "quality", "attention", "b", "pixelated"]]
    read = store.study()
    assert (read.questions[0].text, read.session.instructions) == ("Which fits?", "Look at both.")
    assert read.design.votes_per_pair == 2
    assert read.entry.kind == "personal"
    assert {a["entry"] for a in store.annotators().to_dict("records")} == {"personal"}


def test_an_upgraded_database_goes_on(old, study):
    """The trial that was open is the first again; then comes the part that is left."""
    upgrade_store(old.address, study, CHECKS, NOW)
    store = old.open()
    store.start_session("session-of-ann", "ann", LATER)
    leased = lease(store, "ann", "new", n=2, now=LATER)
    assert [trial.trial_id for trial in leased] == ["t5"]
    assert store.progress("ann").done == 4
    store.record_vote("t5", "ann", "left", 900, LATER)
    leased = lease(store, "ann", "new", n=2, now=LATER)
    assert [(t.trial_id, t.question_id) for t in leased] == [
        ("new0", "alignment"), ("new1", "alignment"),
    ]  # fmt: skip
    assert tallies_hold(old)


def test_an_upgraded_schema_is_a_fresh_one(old, study, tmp_path):
    upgrade_store(old.address, study, CHECKS, NOW)
    (tmp_path / "fresh").mkdir()
    fresh = type(old)(old.kind, tmp_path / "fresh")
    fresh.create()
    upgraded = tables_of(old.address)
    assert upgraded == tables_of(fresh.address)
    assert len(upgraded) == 11
    fresh.close()


def test_an_upgrade_of_today_s_schema_changes_nothing(database, study):
    database.create().close()
    done = upgrade_store(database.address, study, CHECKS, NOW)
    assert (done.before, done.after, done.backup) == (SCHEMA_VERSION, SCHEMA_VERSION, None)


def test_a_copy_of_the_file_is_kept_beside_it(old, study, tmp_path):
    """With what only the -wal held; a database on a server is copied by its own means."""
    before = everything(old)
    done = upgrade_store(old.address, study, CHECKS, NOW)
    if old.is_server:
        assert done.backup is None
        return
    assert done.backup == tmp_path / "votes-schema-1-20300101T100000.sqlite"
    copy = type(old)(old.kind, tmp_path)
    copy.address = done.backup
    assert everything(copy) == before
    assert copy.execute("SELECT value FROM meta WHERE key = 'schema_version'") == [("1",)]
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.suffix == ".part") == []


_KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
from evalkit.store import schema_2
from evalkit.store.upgrade import upgrade_store
from tests.stores import planned

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(schema_2, sys.argv[2], die)
address = sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1])
upgrade_store(address, planned()[0], pd.DataFrame(columns=["pair_id"]), "2030-01-01T10:00:00.000")
"""


@pytest.mark.parametrize("moment", ["_fill", "_make_strict"])
def test_an_upgrade_that_is_killed_loses_nothing(old, study, moment):
    before = everything(old)
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(old.address), moment],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert everything(old) == before
    with pytest.raises(StoreError, match="schema 1"):
        open_store(old.address)
    upgrade_store(old.address, study, CHECKS, LATER)
    assert everything(old) == before
    assert len(old.open().votes()) == 4


def test_rows_that_refer_to_nothing_stop_an_upgrade(tmp_path, study):
    """SQLite alone: it does not look at references while it makes tables anew."""
    from tests.stores import Database

    old = Database("sqlite", tmp_path)
    fill(old, study)
    with sqlite3.connect(old.address) as connection:  # foreign keys are off by default
        connection.execute("DELETE FROM sessions")
    before = everything(old)
    with pytest.raises(StoreError, match="a row of trials refers to a row of sessions that is not"):
        upgrade_store(old.address, study, CHECKS, NOW)
    assert everything(old) == before


def test_the_command_upgrades_a_study(tmp_path, capsys):
    from tests.stores import Database
    from tests.study_factory import make_study

    folder = make_study(tmp_path / "study")
    old = Database("sqlite", folder.root)
    fill(old, folder.study)
    app(["store", "upgrade", str(folder.root)], standalone_mode=False)
    said = capsys.readouterr().out
    assert said.startswith("Brought the votes from schema 1 to 2; the file as it was: ")
    assert Path(said.split(": ")[1].strip()).is_file()
    app(["store", "upgrade", str(folder.root)], standalone_mode=False)
    assert capsys.readouterr().out == "Schema 2 is this evalkit's own: nothing to do\n"
    assert len(old.open().votes()) == 4
    old.close()


def test_a_server_takes_the_upgrade_from_the_command_too(tmp_path, capsys):
    from tests.stores import Database
    from tests.study_factory import make_study

    folder = make_study(tmp_path / "study")
    old = Database("postgresql", folder.root)
    fill(old, folder.study)
    file = folder.root / "study.toml"
    file.write_text(f'store = "{old.address}"\n' + file.read_text())
    app(["store", "upgrade", str(folder.root)], standalone_mode=False)
    assert capsys.readouterr().out == "Brought the votes from schema 1 to 2\n"
    assert postgres_server().execute(old.name, "SELECT count(*) FROM votes") == [(5,)]
