"""Annotators: invited or admitted, logged in, consenting, instructed, seen."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from evalkit.errors import StoreError
from evalkit.store import schema
from evalkit.store.refusals import StudyFullError
from evalkit.study_sections import Entry

_WHO = schema.annotators.c
WINDOW = ("viewport_width", "viewport_height", "screen_width", "screen_height", "pixel_ratio")


@dataclass(frozen=True)
class Annotator:
    """A person (or a simulated one), by a random id; times are UTC ISO 8601, None before.

    `entry` is how they came: by a `personal` link, from `prolific` or by the `open` link;
    `external_id` is what Prolific calls them.
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
    withdrawn_at: str | None
    blocked_at: str | None


_COLUMNS = tuple(_WHO[name] for name in Annotator.__dataclass_fields__)


_BY_ID = sa.select(*_COLUMNS).where(_WHO.annotator_id == sa.bindparam("key"))
_BY_TOKEN = sa.select(*_COLUMNS).where(_WHO.token_sha256 == sa.bindparam("key"))
_BY_EXTERNAL_ID = sa.select(*_COLUMNS).where(_WHO.external_id == sa.bindparam("key"))
_BY_SECRET = sa.select(*_COLUMNS).where(
    schema.logins.c.annotator_id == _WHO.annotator_id,
    schema.logins.c.secret_sha256 == sa.bindparam("key"),
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
    """A new row; StoreError where the id or the token is taken."""
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
        "invited_at": now,
    }
    connection.execute(sa.insert(schema.annotators), row)


def invited(connection: sa.Connection, token: str) -> Annotator | None:
    """The annotator whom the token of a personal link invites, or None."""
    return _found(connection, _BY_TOKEN, sha256(token))


def logged_in(connection: sa.Connection, secret: str) -> Annotator | None:
    """The annotator whose cookie holds this secret, or None."""
    return _found(connection, _BY_SECRET, sha256(secret))


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


def admit(
    connection: sa.Connection,
    stored: Entry,
    entry: str,
    external_id: str | None,
    annotator_id: str,
    now: str,
) -> Annotator:
    """The annotator who comes by this entry: the one of this external id, or a new one.

    Raises StudyFullError where no place is free, StoreError where the study has another entry.
    """
    if entry != stored.kind or entry == "personal":
        raise StoreError(
            f'entry "{entry}": the study lets in annotators by "{stored.kind}"; change [entry] in '
            "study.toml"
        )
    there = None
    if external_id is not None:
        there = _found(connection, _BY_EXTERNAL_ID, external_id)
    if there is not None:
        require_place(connection, stored, there, now)
        set_annotator(connection, there.annotator_id, last_seen_at=now)
        return known(connection, there.annotator_id)
    if places_taken(connection, stored, now) >= (stored.limit or 0):
        raise _full(stored)
    add_annotator(connection, annotator_id, now, entry=entry, external_id=external_id)
    set_annotator(connection, annotator_id, last_seen_at=now)
    return known(connection, annotator_id)


def require_place(connection: sa.Connection, stored: Entry, annotator: Annotator, now: str) -> None:
    """StudyFullError where the annotator was away so long that somebody else has their place."""
    if annotator.entry == "personal" or annotator.finished_at is not None:
        return
    if (annotator.last_seen_at or "") > minutes_after(now, -stored.reclaim_minutes):
        return
    if stored.limit is not None and places_taken(connection, stored, now) >= stored.limit:
        raise _full(stored)


def places_taken(connection: sa.Connection, stored: Entry, now: str) -> int:
    """How many have a place: finished, or seen within `reclaim_minutes`; no personal link."""
    since = minutes_after(now, -stored.reclaim_minutes)
    query = sa.select(sa.func.count()).where(
        _WHO.entry != "personal",
        _WHO.withdrawn_at.is_(None),
        _WHO.blocked_at.is_(None),
        sa.or_(_WHO.finished_at.is_not(None), _WHO.last_seen_at > since),
    )
    return int(connection.execute(query).scalar_one())


def _full(stored: Entry) -> StudyFullError:
    return StudyFullError(
        f"entry: all {stored.limit} places are taken; wait until one is free, or raise entry.limit "
        "in study.toml"
    )


def start_session(
    connection: sa.Connection, session_id: str, annotator_id: str, now: str, **window: object
) -> None:
    """Record a sitting with its window; StoreError on an unknown annotator."""
    known(connection, annotator_id)
    row = {"session_id": session_id, "annotator_id": annotator_id, "started_at": now, **window}
    connection.execute(sa.insert(schema.sessions), row)
    set_annotator(connection, annotator_id, last_seen_at=now)


def has_session(connection: sa.Connection, session_id: str, annotator_id: str) -> bool:
    """Whether this sitting is the annotator's."""
    sought = {"session_id": session_id, "annotator_id": annotator_id}
    return connection.execute(_SESSION, sought).first() is not None


def consent(connection: sa.Connection, annotator_id: str, now: str, version: str | None) -> None:
    """Record consent, unless it is there for this version of the text."""
    annotator = known(connection, annotator_id)
    if annotator.consented_at is None or annotator.consent_version != version:
        set_annotator(connection, annotator_id, consented_at=now, consent_version=version)


def record_first(
    connection: sa.Connection, annotator_id: str, column: str, now: str, **values: object
) -> None:
    """Put `now` into the column, and the values beside it, where it is empty: the first counts."""
    known(connection, annotator_id)
    table = schema.annotators
    connection.execute(
        sa.update(table)
        .where(table.c.annotator_id == annotator_id, table.c[column].is_(None))
        .values(**{column: now}, **values)
    )


def begin_anew(connection: sa.Connection) -> None:
    """Let all annotators consent and read the instructions anew."""
    connection.execute(
        sa.update(schema.annotators).values(
            consented_at=None, consent_version=None, instructed_at=None, finished_at=None
        )
    )
