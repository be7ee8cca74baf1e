"""Places: of those who come by Prolific or the open link, who has one, and until when."""

import sqlalchemy as sa

from evalkit.errors import StoreError
from evalkit.store import schema
from evalkit.store.annotators import (
    Annotator,
    add_annotator,
    by_external_id,
    known,
    minutes_after,
    require_unmixed,
    set_annotator,
)
from evalkit.store.plan import Standing
from evalkit.store.refusals import StudyFullError

_WHO = schema.annotators.c
_KEEP = (
    sa.update(schema.annotators)
    .where(_WHO.annotator_id == sa.bindparam("who"))
    .values(last_seen_at=sa.bindparam("now"), place_until=sa.bindparam("until"))
)


def admit(
    connection: sa.Connection,
    standing: Standing,
    entry: str,
    external_id: str | None,
    annotator_id: str,
    now: str,
    external_session: str | None = None,
) -> Annotator:
    """The annotator who comes by this entry: the one of this external id, or a new one.

    That takes no place yet: `consent` does. Who has withdrawn or is blocked is found again, and
    stays so. Raises StudyFullError where they have no place and none is free, StoreError where the
    study has another entry.
    """
    if entry != standing.entry.kind or entry == "personal":
        raise StoreError(
            f'entry "{entry}": the study lets in annotators by "{standing.entry.kind}"; change '
            "[entry] in study.toml"
        )
    there = None if external_id is None else by_external_id(connection, external_id)
    if there is None:
        _require_free(connection, standing, now)
        add_annotator(connection, annotator_id, now, entry=entry, external_id=external_id)
    else:
        annotator_id = there.annotator_id
        require_unmixed(connection, there.simulated)
        require_place(connection, standing, there, now)
    if there is None or there.withdrawn_at is None:
        set_annotator(connection, annotator_id, last_seen_at=now, external_session=external_session)
    return known(connection, annotator_id)


def consent(
    connection: sa.Connection,
    standing: Standing,
    annotator_id: str,
    now: str,
    version: str | None,
) -> None:
    """Record consent, unless it is there for this version of the text; a place counts from here on.

    Raises StudyFullError where no place is free, StoreError after withdrawal; see also
    `require_unmixed`.
    """
    annotator = known(connection, annotator_id)
    if annotator.withdrawn_at is not None:
        raise StoreError(f"annotator {annotator_id}: has withdrawn; invite them anew")
    require_unmixed(connection, annotator.simulated)
    require_place(connection, standing, annotator, now)
    keep_place(connection, standing, annotator, now)
    if annotator.consented_at is None or annotator.consent_version != version:
        set_annotator(connection, annotator_id, consented_at=now, consent_version=version)


def keep_place(
    connection: sa.Connection, standing: Standing, annotator: Annotator, now: str
) -> None:
    """Note that the annotator was heard of, which keeps their place for `reclaim_minutes`."""
    until = None
    if annotator.entry != "personal":
        until = minutes_after(now, standing.entry.reclaim_minutes)
    connection.execute(_KEEP, {"who": annotator.annotator_id, "now": now, "until": until})


def give_up_place(connection: sa.Connection, annotator_id: str) -> None:
    """Let the annotator's place go to somebody else."""
    set_annotator(connection, annotator_id, place_until=None)


def require_place(
    connection: sa.Connection, standing: Standing, annotator: Annotator, now: str
) -> None:
    """StudyFullError where the annotator has no place, or had it too long ago, and none is free.

    By a personal link everybody has one. Who has withdrawn or is blocked needs none to learn that.
    """
    closed = annotator.withdrawn_at is not None or annotator.blocked_at is not None
    if closed or annotator.entry == "personal" or annotator.finished_at is not None:
        return
    if (annotator.place_until or "") <= _clock(standing, now):
        _require_free(connection, standing, now)


def places_taken(connection: sa.Connection, standing: Standing, now: str) -> int:
    """How many have a place: finished, or heard of within `reclaim_minutes`; no personal link."""
    query = sa.select(sa.func.count()).where(
        _WHO.entry != "personal",
        _WHO.withdrawn_at.is_(None),
        _WHO.blocked_at.is_(None),
        sa.or_(_WHO.finished_at.is_not(None), _WHO.place_until > _clock(standing, now)),
    )
    return int(connection.execute(query).scalar_one())


def keep_places_of_a_pause(connection: sa.Connection, standing: Standing, now: str) -> None:
    """At a pause's end: who had a place at its beginning has it for `reclaim_minutes` from now."""
    until = minutes_after(now, standing.entry.reclaim_minutes)
    held = _WHO.place_until > _clock(standing, now)
    connection.execute(sa.update(schema.annotators).where(held).values(place_until=until))


def _clock(standing: Standing, now: str) -> str:
    """The time by which places end: it stands still while the study is paused."""
    return now if standing.paused is None else standing.paused["at"]


def _require_free(connection: sa.Connection, standing: Standing, now: str) -> None:
    limit = standing.entry.limit
    if limit is not None and places_taken(connection, standing, now) >= limit:
        raise StudyFullError(
            f"entry: all {limit} places are taken; wait until one is free, or raise entry.limit in "
            "study.toml"
        )
