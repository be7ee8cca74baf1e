"""Annotators: invited or admitted, logged in, consenting, instructed, seen."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from evalkit.errors import StoreError
from evalkit.store import schema
from evalkit.store.refusals import StudyFullError
from evalkit.tables import SIMULATED

_WHO = schema.annotators.c
WINDOW = ("viewport_width", "viewport_height", "screen_width", "screen_height", "pixel_ratio")


@dataclass(frozen=True)
class Annotator:
    """A person (or a simulated one), by a random id; times are UTC ISO 8601, None before.

    `entry` is how they came: by a `personal` link, from `prolific` or by the `open` link;
    `external_id` is what Prolific calls them; `place_until` is when their place, which no personal
    link needs, may go to somebody else.
    """

    annotator_id: str
    simulated: bool
    entry: str
    external_id: str | None
    invited_at: str
    consented_at: str | None
    consent_version: str | None
    instructed_at: str | None
    finished_at: str | None
    last_seen_at: str | None
    place_until: str | None
    withdrawn_at: str | None
    blocked_at: str | None


_COLUMNS = tuple(_WHO[name] for name in Annotator.__dataclass_fields__)


_BY_ID = sa.select(*_COLUMNS).where(_WHO.annotator_id == sa.bindparam("key"))
_BY_TOKEN = sa.select(*_COLUMNS).where(_WHO.token_sha256 == sa.bindparam("key"))
_BY_EXTERNAL_ID = sa.select(*_COLUMNS).where(_WHO.external_sha256 == sa.bindparam("key"))
_BY_SECRET = sa.select(*_COLUMNS).where(
    schema.logins.c.annotator_id == _WHO.annotator_id,
    schema.logins.c.secret_sha256 == sa.bindparam("key"),
)
_SIMULATED = sa.select(_WHO.annotator_id).where(_WHO.simulated.is_(True)).limit(1)
_TAKING_PART = (
    sa.select(_WHO.annotator_id)
    .where(_WHO.simulated.is_(False), _WHO.consented_at.is_not(None))
    .limit(1)
)
_SESSION = sa.select(schema.sessions.c.session_id).where(
    schema.sessions.c.session_id == sa.bindparam("session_id"),
    schema.sessions.c.annotator_id == sa.bindparam("annotator_id"),
)


def sha256(text: str) -> str:
    """The hash under which a token, a cookie's secret or a link's code is kept."""
    return hashlib.sha256(text.encode()).hexdigest()


def minutes_after(now: str, minutes: float) -> str:
    """The time so many minutes after (or, negative, before) `now`, written alike."""
    moved = datetime.fromisoformat(now) + timedelta(minutes=minutes)
    return moved.isoformat(timespec="milliseconds")


def add_annotator(
    connection: sa.Connection,
    annotator_id: str,
    now: str,
    token: str | None = None,
    simulated: bool = False,
    entry: str = "personal",
    external_id: str | None = None,
) -> None:
    """A new row; StoreError where the id or the token is taken, or see `require_unmixed`."""
    require_unmixed(connection, simulated)
    taken = sa.select(_WHO.annotator_id).where(_WHO.annotator_id == annotator_id)
    if token is not None:
        taken = sa.union_all(
            taken, sa.select(_WHO.annotator_id).where(_WHO.token_sha256 == sha256(token))
        )
    if connection.execute(taken).first() is not None:
        raise StoreError(f"annotator {annotator_id}: the id or the token is taken; give new ones")
    row = {
        "annotator_id": annotator_id,
        "token_sha256": None if token is None else sha256(token),
        "simulated": simulated,
        "entry": entry,
        "external_id": external_id,
        "external_sha256": None if external_id is None else sha256(external_id),
        "invited_at": now,
    }
    connection.execute(sa.insert(schema.annotators), row)


def has_simulated(connection: sa.Connection) -> bool:
    """Whether there is a simulated annotator."""
    return connection.execute(_SIMULATED).first() is not None


def require_unmixed(connection: sa.Connection, simulated: bool) -> None:
    """Refuse a person beside simulated annotators (StudyFullError: no place is theirs), and a
    simulated annotator beside people who have consented (StoreError)."""
    if simulated and connection.execute(_TAKING_PART).first() is not None:
        raise StoreError(
            "simulate: people take part in this study, and no simulated vote may stand beside "
            "theirs; simulate in a copy of the study without its votes"
        )
    if not simulated and has_simulated(connection):
        raise StudyFullError(
            f"the study holds {SIMULATED}, and no person may vote beside them; ask people in a "
            "copy of the study without its votes"
        )


def invited(connection: sa.Connection, token: str) -> Annotator | None:
    """The annotator whom the token of a personal link invites, or None."""
    return _found(connection, _BY_TOKEN, sha256(token))


def logged_in(connection: sa.Connection, secret: str) -> Annotator | None:
    """The annotator whose cookie holds this secret, or None."""
    return _found(connection, _BY_SECRET, sha256(secret))


def by_external_id(connection: sa.Connection, external_id: str) -> Annotator | None:
    """The annotator whom Prolific calls so, also after withdrawal, or None."""
    return _found(connection, _BY_EXTERNAL_ID, sha256(external_id))


def _found(connection: sa.Connection, query: sa.Select, key: str) -> Annotator | None:
    row = connection.execute(query, {"key": key}).first()
    return Annotator(**row._mapping) if row else None


def known(connection: sa.Connection, annotator_id: str) -> Annotator:
    """The annotator of this id; StoreError where there is none."""
    annotator = _found(connection, _BY_ID, annotator_id)
    if annotator is None:
        raise StoreError(f"annotator {annotator_id}: unknown; invite them first")
    return annotator


def log_in(connection: sa.Connection, annotator_id: str, secret: str, now: str) -> None:
    """Keep the secret's hash for this annotator; once more does nothing."""
    known(connection, annotator_id)
    hashed = sha256(secret)
    logins = schema.logins
    there = sa.select(logins.c.annotator_id).where(logins.c.secret_sha256 == hashed)
    if connection.execute(there).first() is None:
        row = {"secret_sha256": hashed, "annotator_id": annotator_id, "created_at": now}
        connection.execute(sa.insert(logins), row)
    set_annotator(connection, annotator_id, last_seen_at=now)


def set_annotator(connection: sa.Connection, annotator_id: str, **values: object) -> None:
    """Put these values into the annotator's row."""
    table = schema.annotators
    connection.execute(
        sa.update(table).where(table.c.annotator_id == annotator_id).values(**values)
    )


def start_session(
    connection: sa.Connection,
    session_id: str,
    annotator_id: str,
    now: str,
    window: Sequence[float | None],
) -> None:
    """Record a sitting with its WINDOW; StoreError on an unknown annotator."""
    known(connection, annotator_id)
    row = {"session_id": session_id, "annotator_id": annotator_id, "started_at": now}
    sizes = dict(zip(WINDOW, window, strict=True))
    connection.execute(sa.insert(schema.sessions), {**row, **sizes})
    set_annotator(connection, annotator_id, last_seen_at=now)


def has_session(connection: sa.Connection, session_id: str, annotator_id: str) -> bool:
    """Whether this sitting is the annotator's."""
    sought = {"session_id": session_id, "annotator_id": annotator_id}
    return connection.execute(_SESSION, sought).first() is not None


def record_first(connection: sa.Connection, annotator_id: str, column: str, now: str) -> None:
    """Put `now` into the column where it is empty: the first counts."""
    known(connection, annotator_id)
    table = schema.annotators
    connection.execute(
        sa.update(table)
        .where(table.c.annotator_id == annotator_id, table.c[column].is_(None))
        .values({column: now})
    )


def begin_anew(connection: sa.Connection) -> None:
    """Let all annotators consent and read the instructions anew."""
    connection.execute(
        sa.update(schema.annotators).values(
            consented_at=None,
            consent_version=None,
            instructed_at=None,
            finished_at=None,
            place_until=None,
        )
    )
