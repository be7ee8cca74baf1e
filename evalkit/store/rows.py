"""Rows of the vote database as values, and the queries that read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from evalkit.design import Showing, Tally
from evalkit.errors import StoreError
from evalkit.store import schema
from evalkit.store.plan import StoredPlan

LEASE = timedelta(minutes=30)  # how long a trial keeps its pair from others, unanswered


@dataclass(frozen=True)
class Annotator:
    """A person (or a simulated one), by a random id; times are UTC ISO 8601."""

    annotator_id: str
    simulated: bool
    invited_at: str
    consented_at: str | None


@dataclass(frozen=True)
class Trial:
    """One showing of a pair to one annotator; `left` ("a" or "b") is the image on the left.

    `prompt` is the pair's prompt, whether or not the question shows it; `left_file` and
    `right_file` are the opaque names of the public images; `position` counts from 1 within the
    annotator.
    """

    trial_id: str
    annotator_id: str
    session_id: str
    question_id: str
    pair_id: str
    left: str
    kind: str
    position: int
    issued_at: str
    prompt: str
    left_file: str
    right_file: str


@dataclass(frozen=True)
class Vote:
    """What was pressed on a trial, as it stands in the database."""

    trial_id: str
    choice: str
    response_ms: int
    created_at: str
    revision: int


def first_vote() -> sa.ColumnElement[bool]:
    """The condition that joins a trial to its first vote."""
    return sa.and_(
        schema.votes.c.trial_id == schema.trials.c.trial_id, schema.votes.c.revision == 1
    )


def consented_at(connection: sa.Connection, annotator_id: str) -> str | None:
    """When the annotator consented, None before; StoreError where the id is unknown."""
    table = schema.annotators.c
    query = sa.select(table.consented_at).where(table.annotator_id == annotator_id)
    row = connection.execute(query).first()
    if row is None:
        raise StoreError(f"annotator {annotator_id}: unknown; invite them first")
    return row.consented_at


def has_session(connection: sa.Connection, session_id: str, annotator_id: str) -> bool:
    """Whether this sitting is the annotator's."""
    table = schema.sessions.c
    query = sa.select(table.session_id).where(
        table.session_id == session_id, table.annotator_id == annotator_id
    )
    return connection.execute(query).first() is not None


def seen_showings(connection: sa.Connection, annotator_id: str) -> list[Showing]:
    """What the annotator was shown, in order."""
    table = schema.trials.c
    query = (
        sa.select(table.question_id, table.pair_id, table.left, table.kind)
        .where(table.annotator_id == annotator_id)
        .order_by(table.position)
    )
    return [Showing(*row) for row in connection.execute(query)]


def open_trial(connection: sa.Connection, annotator_id: str) -> Mapping[str, Any] | None:
    """The row of the annotator's trial that has no vote yet, or None."""
    trials, votes = schema.trials, schema.votes
    query = (
        sa.select(trials)
        .outerjoin(votes, first_vote())
        .where(trials.c.annotator_id == annotator_id, votes.c.trial_id.is_(None))
        .order_by(trials.c.position)
    )
    row = connection.execute(query).first()
    return row._mapping if row else None


def has_votes(connection: sa.Connection) -> bool:
    """Whether there is any vote."""
    return connection.execute(sa.select(schema.votes.c.trial_id).limit(1)).first() is not None


def tallies(connection: sa.Connection, now: str) -> dict[tuple[str, str], Tally]:
    """Main trials and votes on them, by (question_id, pair_id); open: issued within `LEASE`."""
    trials, votes = schema.trials, schema.votes
    since = (datetime.fromisoformat(now) - LEASE).isoformat(timespec="milliseconds")
    is_open = sa.and_(votes.c.trial_id.is_(None), trials.c.issued_at > since)
    query = (
        sa.select(
            trials.c.question_id,
            trials.c.pair_id,
            sa.func.count(trials.c.trial_id),
            sa.func.count(votes.c.trial_id),
            sa.func.count(sa.case((is_open, 1))),
        )
        .outerjoin(votes, first_vote())
        .where(trials.c.kind == "main")
        .group_by(trials.c.question_id, trials.c.pair_id)
    )
    return {
        (question_id, pair_id): Tally(*counts)
        for question_id, pair_id, *counts in connection.execute(query)
    }


def trial_of(row: Mapping[str, Any], plan: StoredPlan) -> Trial:
    """The trial in a row of the table, with the prompt and the public images of its pair."""
    pair = plan.pairs[row["pair_id"]]
    left_file, right_file = pair.file_a, pair.file_b
    if row["left"] == "b":
        left_file, right_file = right_file, left_file
    return Trial(**row, prompt=pair.prompt, left_file=left_file, right_file=right_file)


def stored_vote(connection: sa.Connection, trial_id: str) -> Vote | None:
    """The vote on this trial as it stands (its last revision), or None."""
    table = schema.votes.c
    query = (
        sa.select(table.trial_id, table.choice, table.response_ms, table.created_at, table.revision)
        .where(table.trial_id == trial_id)
        .order_by(table.revision.desc())
    )
    row = connection.execute(query).first()
    return Vote(**row._mapping) if row else None
