"""The open vote database: invite, consent, issue trials, record votes, read them back."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from evalkit import tables
from evalkit.design import choose_trial, planned_length
from evalkit.errors import StoreError, listed
from evalkit.store import rows, schema
from evalkit.store.plan import BlindedStudy, StoredPlan, read_meta, read_plan, write_plan
from evalkit.store.rows import Annotator, Trial, Vote
from evalkit.study import Study

_BUSY_SECONDS = 30  # how long a writer waits for another
_FOREIGN = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB)  # no such table, or no SQLite at all


class StoreUnavailableError(StoreError):
    """The database cannot answer now (locked, disk full, gone); the same call may succeed later."""


class Store:
    """An open vote database; safe to share between threads, and between processes by its path."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._cached: StoredPlan | None = None

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def study(self) -> BlindedStudy:
        """The blinded study as it stands in the database."""
        with self._reading() as connection:
            return self._plan(connection).study

    def replace_plan(self, study: Study, pairs: pd.DataFrame) -> None:
        """Put another study and its blinded pairs (`tables.BLINDED_PAIRS`) in place of the old.

        Annotators stay invited and must consent anew; their sessions and open trials go. Raises
        StoreError once a vote exists.
        """
        with self._writing() as connection:
            if rows.has_votes(connection):
                raise StoreError(
                    f"{self._engine.url.database}: holds votes; the study they were given for "
                    "cannot change any more; undo the change, or make a new study"
                )
            for table in (schema.trials, schema.sessions, schema.pairs, schema.questions):
                connection.execute(sa.delete(table))
            connection.execute(sa.update(schema.annotators).values(consented_at=None))
            connection.execute(sa.delete(schema.meta))
            write_plan(connection, study, pairs)

    def add_annotator(
        self, annotator_id: str, token: str, now: str, simulated: bool = False
    ) -> None:
        """Invite an annotator; only a hash of the token is stored. StoreError if either exists."""
        row = {
            "annotator_id": annotator_id,
            "token_sha256": _sha256(token),
            "simulated": simulated,
            "invited_at": now,
        }
        try:
            with self._writing() as connection:
                connection.execute(sa.insert(schema.annotators), row)
        except sa.exc.IntegrityError:
            raise StoreError(
                f"annotator {annotator_id}: the id or the token is taken; give new ones"
            ) from None

    def annotator(self, token: str) -> Annotator | None:
        """The annotator whom the token invites, or None."""
        table = schema.annotators.c
        query = sa.select(
            table.annotator_id, table.simulated, table.invited_at, table.consented_at
        ).where(table.token_sha256 == _sha256(token))
        with self._reading() as connection:
            row = connection.execute(query).first()
        return Annotator(**row._mapping) if row else None

    def consent(self, annotator_id: str, now: str) -> None:
        """Record consent; the first time counts. StoreError on an unknown annotator."""
        table = schema.annotators
        with self._writing() as connection:
            rows.consented_at(connection, annotator_id)
            connection.execute(
                sa.update(table)
                .where(table.c.annotator_id == annotator_id, table.c.consented_at.is_(None))
                .values(consented_at=now)
            )

    def start_session(
        self,
        session_id: str,
        annotator_id: str,
        now: str,
        viewport_width: int | None = None,
        viewport_height: int | None = None,
        pixel_ratio: float | None = None,
    ) -> None:
        """Record the start of a sitting; sizes in CSS pixels, None where there is no window.

        Raises StoreError on an unknown annotator.
        """
        row = {
            "session_id": session_id,
            "annotator_id": annotator_id,
            "started_at": now,
            "viewport_width": viewport_width,
            "viewport_height": viewport_height,
            "pixel_ratio": pixel_ratio,
        }
        with self._writing() as connection:
            rows.consented_at(connection, annotator_id)
            connection.execute(sa.insert(schema.sessions), row)

    def next_trial(
        self, annotator_id: str, session_id: str, trial_id: str, now: str, seed: int
    ) -> Trial | None:
        """The annotator's open trial, or the next one issued under `trial_id`; None at the end.

        One transaction: whoever asks at the same time gets the same trial. A trial keeps its pair
        from other annotators for `rows.LEASE` (`now` is UTC, ISO 8601, milliseconds). Raises
        StoreError on an unknown annotator, before consent, or on a session that is not the
        annotator's.
        """
        with self._writing() as connection:
            if rows.consented_at(connection, annotator_id) is None:
                raise StoreError(f"annotator {annotator_id}: has not consented; record it first")
            if not rows.has_session(connection, session_id, annotator_id):
                raise StoreError(f"annotator {annotator_id}: no session {session_id}; start it")
            plan = self._plan(connection)
            opened = rows.open_trial(connection, annotator_id)
            if opened is not None:
                return rows.trial_of(opened, plan)
            seen = rows.seen_showings(connection, annotator_id)
            showing = choose_trial(plan.trials, seen, rows.tallies(connection, now), seed)
            if showing is None:
                return None
            row = {
                "trial_id": trial_id,
                "annotator_id": annotator_id,
                "session_id": session_id,
                **vars(showing),
                "position": len(seen) + 1,
                "issued_at": now,
            }
            connection.execute(sa.insert(schema.trials), row)
            return rows.trial_of(row, plan)

    def trial(self, trial_id: str) -> Trial | None:
        """The trial of this id, or None."""
        query = sa.select(schema.trials).where(schema.trials.c.trial_id == trial_id)
        with self._reading() as connection:
            row = connection.execute(query).first()
            return rows.trial_of(row._mapping, self._plan(connection)) if row else None

    def vote(self, trial_id: str) -> Vote | None:
        """The vote on this trial as it stands now, or None."""
        with self._reading() as connection:
            return rows.stored_vote(connection, trial_id)

    def record_vote(
        self, trial_id: str, annotator_id: str, choice: str, response_ms: int, now: str
    ) -> Vote:
        """The vote as stored: this one, committed before the return, or the one already there.

        The first vote on a trial wins, so that a vote may be sent again until it is acknowledged.
        Raises StoreError on an unknown trial, another annotator's trial, a choice that the question
        does not offer, or a negative time.
        """
        query = sa.select(schema.trials.c.annotator_id, schema.trials.c.question_id).where(
            schema.trials.c.trial_id == trial_id
        )
        with self._writing() as connection:
            trial = connection.execute(query).first()
            if trial is None or trial.annotator_id != annotator_id:
                raise StoreError(f"trial {trial_id}: not a trial of annotator {annotator_id}")
            stored = rows.stored_vote(connection, trial_id)
            if stored is not None:
                return stored
            offered = self._plan(connection).study.question(trial.question_id).choices
            if choice not in offered:
                raise StoreError(
                    f'trial {trial_id}: choice "{choice}"; the question offers {listed(offered)}'
                )
            if response_ms < 0:
                raise StoreError(f"trial {trial_id}: response_ms = {response_ms}; at least 0")
            vote = Vote(trial_id, choice, response_ms, now, revision=1)
            connection.execute(sa.insert(schema.votes), vars(vote))
        return vote

    def progress(self, annotator_id: str, now: str) -> tuple[int, int]:
        """Votes given and trials in all, as far as the plan can say at `now`."""
        with self._reading() as connection:
            seen = rows.seen_showings(connection, annotator_id)
            waiting = rows.open_trial(connection, annotator_id) is not None
            plan, tallies = self._plan(connection), rows.tallies(connection, now)
            return len(seen) - waiting, planned_length(plan.trials, seen, tallies)

    def has_votes(self) -> bool:
        """Whether there is any vote."""
        with self._reading() as connection:
            return rows.has_votes(connection)

    def trials(self) -> pd.DataFrame:
        """All trials (`tables.TRIALS`) in the order they were issued."""
        table = schema.trials
        order = (table.c.issued_at, table.c.annotator_id, table.c.position)
        return tables.check(self._frame(sa.select(table).order_by(*order)), tables.TRIALS, "trials")

    def votes(self) -> pd.DataFrame:
        """The votes as they stand (`tables.VOTES`): the last revision of each, in order of time."""
        votes = schema.votes
        later = votes.alias("later")
        last = ~sa.exists().where(
            later.c.trial_id == votes.c.trial_id, later.c.revision > votes.c.revision
        )
        query = sa.select(votes).where(last).order_by(votes.c.created_at, votes.c.trial_id)
        return tables.check(self._frame(query), tables.VOTES, "votes")

    def annotators(self) -> pd.DataFrame:
        """Columns annotator_id, simulated, consented_at (empty before), n_trials, n_votes."""
        who, trials, votes = schema.annotators, schema.trials, schema.votes
        query = (
            sa.select(
                who.c.annotator_id,
                who.c.simulated,
                who.c.consented_at,
                sa.func.count(trials.c.trial_id).label("n_trials"),
                sa.func.count(votes.c.trial_id).label("n_votes"),
            )
            .select_from(who.outerjoin(trials).outerjoin(votes, rows.first_vote()))
            .group_by(who.c.annotator_id, who.c.simulated, who.c.consented_at)
            .order_by(who.c.invited_at, who.c.annotator_id)
        )
        return self._frame(query)

    def _plan(self, connection: sa.Connection) -> StoredPlan:
        cached = self._cached  # other threads may replace it meanwhile
        if cached is None or cached.study.plan_id != read_meta(connection, "plan_id"):
            cached = self._cached = read_plan(connection)
        return cached

    def _frame(self, query: sa.Select) -> pd.DataFrame:
        with self._reading() as connection:
            result = connection.execute(query)
            return pd.DataFrame(result.all(), columns=list(result.keys()))

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _translated(self._engine), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with _translated(self._engine), self._engine.connect() as plain:
            connection = plain.execution_options(evalkit_write=True)
            with connection.begin():
                yield connection


def create_store(path: Path, study: Study, pairs: pd.DataFrame) -> Store:
    """A new vote database for the study and its blinded pairs (`tables.BLINDED_PAIRS`).

    Raises StoreError where the file exists.
    """
    if path.exists():
        raise StoreError(f"{path}: exists already; votes are never overwritten; move it away")
    store = Store(_engine(path))
    with store._writing() as connection:
        schema.metadata.create_all(connection)
        write_plan(connection, study, pairs)
    return store


def open_store(path: Path) -> Store:
    """The vote database at `path`; StoreError where it is missing or of another schema.

    StoreUnavailableError where it is locked or cannot be read now.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no vote database; start the study with: evalkit serve")
    store = Store(_engine(path))
    try:
        with store._engine.connect() as connection:
            version = read_meta(connection, "schema_version")
    except (sa.exc.DatabaseError, KeyError) as error:
        store.close()
        if isinstance(error, KeyError) or error.orig.sqlite_errorcode in _FOREIGN:
            raise StoreError(f"{path}: not a vote database of evalkit; move it away") from None
        raise _unavailable(path, error) from error
    if version != schema.SCHEMA_VERSION:
        store.close()
        raise StoreError(
            f"{path}: schema {version}, this evalkit reads {schema.SCHEMA_VERSION}; "
            "use the evalkit version that made it"
        )
    return store


def _engine(path: Path) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": _BUSY_SECONDS}
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver would begin transactions late, unlocked
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("evalkit_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _translated(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.DatabaseError as error:
        raise _unavailable(engine.url.database, error) from error


def _unavailable(path: Path | str | None, error: sa.exc.DatabaseError) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"{path}: the vote database does not answer now ({error.orig}); close what else uses it, "
        "make room on the disk or restore the file, then try again"
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
