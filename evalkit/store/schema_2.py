"""From schema 1 to 2: practice and examples, leases, tallies, cookies, other entries, the log.

Written out, not taken from `schema`: a later schema changes that, and never this step.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pandas as pd
import sqlalchemy as sa
from alembic.operations import Operations

NAMES = {  # as PostgreSQL names them
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
}
_LATE = ("consent_version", "instructed_at", "finished_at", "last_seen_at", "place_until",
         "withdrawn_at", "blocked_at", "blocked_reason")  # fmt: skip


def upgrade(op: Operations, checks: pd.DataFrame, meta: Mapping[str, Any], now: str) -> None:
    """Bring tables and rows to schema 2 within the transaction that is open.

    `checks` (pair_id, expected, foil) tells the right side of attention checks, which schema 1 did
    not hold; of a check that is missing there it stays unknown. `meta` are values to add.
    """
    _make_tables(op)
    _add_columns(op)
    _fill(op.get_bind(), checks, meta, now)
    _make_strict(op)


def _make_tables(op: Operations) -> None:
    op.create_table(
        "logins",
        sa.Column("secret_sha256", sa.Text, nullable=False),
        sa.Column("annotator_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("secret_sha256", name="logins_pkey"),
        _refers("logins", "annotator_id", "annotators"),
    )
    op.create_index("logins_by_annotator", "logins", ["annotator_id"])
    op.create_index("sessions_by_annotator", "sessions", ["annotator_id"])
    op.create_table(
        "tallies",
        sa.Column("question_id", sa.Text, nullable=False),
        sa.Column("pair_id", sa.Text, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("issued", "voted", "open")),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("question_id", "pair_id", name="tallies_pkey"),
        _refers("tallies", "question_id", "questions"),
        _refers("tallies", "pair_id", "pairs"),
    )
    op.create_index("tallies_by_change", "tallies", ["changed"])
    op.create_table(
        "matchup_tallies",
        sa.Column("question_id", sa.Text, nullable=False),
        sa.Column("matchup", sa.Text, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("a", "b", "ties")),
        sa.PrimaryKeyConstraint("question_id", "matchup", name="matchup_tallies_pkey"),
        _refers("matchup_tallies", "question_id", "questions"),
    )
    op.create_table(
        "log",
        sa.Column("number", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("annotator_id", sa.Text),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="log_pkey"),
        _refers("log", "annotator_id", "annotators"),
        sa.CheckConstraint(
            "\"actor\" IN ('annotator', 'coordinator', 'app')", name="log_actor_check"
        ),
    )


def _refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.{column}"], name=f"{table}_{column}_fkey", ondelete="RESTRICT"
    )


def _add_columns(op: Operations) -> None:
    """The new columns, empty; what must not be empty is made so when it is filled."""
    op.drop_index("trials_by_pair", "trials")
    added = {
        "annotators": ("entry", "external_id", "external_sha256", "external_session", *_LATE),
        "pairs": ("role", "expected", "foil"),
        "trials": ("lease_until", "state"),
        "votes": ("reason", "session_id"),
    }
    for table, columns in added.items():
        for name in columns:
            op.add_column(table, sa.Column(name, sa.Text))
    for name in ("screen_width", "screen_height"):
        op.add_column("sessions", sa.Column(name, sa.Integer))


def _fill(
    connection: sa.Connection, checks: pd.DataFrame, meta: Mapping[str, Any], now: str
) -> None:
    for statement in _FILLING:
        connection.execute(sa.text(statement))
    rows = [
        {"pair": row.pair_id, "expected": row.expected, "foil": row.foil}
        for row in checks.itertuples()
    ]
    told = "UPDATE pairs SET expected = :expected, foil = :foil WHERE pair_id = :pair"
    if rows:
        connection.execute(sa.text(told), rows)
    for key in meta:
        connection.execute(sa.text("DELETE FROM meta WHERE key = :key"), {"key": key})
    values = [{"key": key, "value": json.dumps(value)} for key, value in meta.items()]
    connection.execute(sa.text("INSERT INTO meta (key, value) VALUES (:key, :value)"), values)
    noted = "INSERT INTO log (at, actor, event, detail) VALUES (:now, 'app', 'upgrade', '1 to 2')"
    connection.execute(sa.text(noted), {"now": now})


# An open trial of schema 1 had a lease that nobody wrote down: it counts as over, and its annotator
# gets it again when they are back.
_FILLING = (
    "UPDATE annotators SET entry = 'personal'",
    "UPDATE pairs SET role = CASE WHEN question_id IS NULL THEN 'main' ELSE 'attention' END",
    "UPDATE votes SET reason = ''",
    """
    UPDATE trials SET lease_until = issued_at, state = CASE WHEN EXISTS
        (SELECT 1 FROM votes WHERE votes.trial_id = trials.trial_id) THEN 'voted' ELSE 'expired' END
    """,
    """
    INSERT INTO tallies (question_id, pair_id, issued, voted, open, changed)
    SELECT questions.question_id, pairs.pair_id, count(trials.trial_id), count(votes.trial_id), 0,
        CASE WHEN count(trials.trial_id) > 0 THEN 1 ELSE 0 END
    FROM questions
    JOIN pairs ON pairs.role = 'main'
    LEFT JOIN trials ON trials.question_id = questions.question_id
        AND trials.pair_id = pairs.pair_id AND trials.kind = 'main'
    LEFT JOIN votes ON votes.trial_id = trials.trial_id AND votes.revision = 1
    GROUP BY questions.question_id, pairs.pair_id
    """,
    """
    INSERT INTO matchup_tallies (question_id, matchup, a, b, ties)
    SELECT questions.question_id, pairs.matchup,
        count(CASE WHEN votes.choice = CASE trials."left" WHEN 'a' THEN 'left' ELSE 'right' END
            THEN 1 END),
        count(CASE WHEN votes.choice = CASE trials."left" WHEN 'a' THEN 'right' ELSE 'left' END
            THEN 1 END),
        count(CASE WHEN votes.choice IN ('tie', 'both_bad') THEN 1 END)
    FROM questions
    JOIN pairs ON pairs.role = 'main'
    LEFT JOIN trials ON trials.question_id = questions.question_id
        AND trials.pair_id = pairs.pair_id AND trials.kind = 'main'
    LEFT JOIN votes ON votes.trial_id = trials.trial_id AND NOT EXISTS
        (SELECT 1 FROM votes AS later
            WHERE later.trial_id = votes.trial_id AND later.revision > votes.revision)
    GROUP BY questions.question_id, pairs.matchup
    """,
)


def _make_strict(op: Operations) -> None:
    """What holds of every row from now on; SQLite makes each table anew for it."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    anew = {"recreate": "always" if is_sqlite else "auto", "naming_convention": NAMES}
    for table in ("meta", "sessions", "questions"):  # only the names of their constraints are new
        with op.batch_alter_table(table, **anew):
            pass
    with op.batch_alter_table("annotators", **anew) as batch:
        batch.alter_column("token_sha256", existing_type=sa.Text, nullable=True)
        batch.alter_column("entry", existing_type=sa.Text, nullable=False)
        for name in ("external_id", "external_sha256"):
            batch.create_unique_constraint(f"annotators_{name}_key", [name])
        _allow(batch, "annotators", "entry", "personal", "prolific", "open")
    with op.batch_alter_table("pairs", **anew) as batch:
        batch.alter_column("role", existing_type=sa.Text, nullable=False)
        _allow(batch, "pairs", "role", "main", "attention", "practice", "example")
        _allow(batch, "pairs", "expected", "a", "b")
    with _without_a_check(), op.batch_alter_table("trials", **anew) as batch:
        for name in ("lease_until", "state"):
            batch.alter_column(name, existing_type=sa.Text, nullable=False)
        if is_sqlite:  # a table that is made anew leaves behind the checks of the old one
            _allow(batch, "trials", "left", "a", "b")
        _allow(batch, "trials", "kind", "main", "repeat", "attention", "practice")
        _allow(batch, "trials", "state", "open", "voted", "expired", "returned")
        batch.create_index("trials_by_lease", ["state", "lease_until"])
    with op.batch_alter_table("votes", **anew) as batch:
        batch.alter_column("reason", existing_type=sa.Text, nullable=False)
        batch.create_foreign_key(
            "votes_session_id_fkey",
            "sessions",
            ["session_id"],
            ["session_id"],
            ondelete="RESTRICT",
        )


@contextmanager
def _without_a_check() -> Iterator[None]:
    """Alembic warns that it leaves out the one check without a name, which is made again here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unnamed CHECK constraint on reflected table 'trials'")
        yield


def _allow(batch: Any, table: str, column: str, *values: str) -> None:
    allowed = ", ".join(f"'{value}'" for value in values)
    batch.create_check_constraint(f"{table}_{column}_check", f'"{column}" IN ({allowed})')
