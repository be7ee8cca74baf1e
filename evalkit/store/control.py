"""What the coordinator and the annotator may stop or take back, and the log that says so."""

import json

import sqlalchemy as sa

from evalkit.store import schema
from evalkit.store.annotators import WINDOW, known, set_annotator
from evalkit.store.meta import forget_meta, read_values, write_meta
from evalkit.store.places import keep_places_of_a_pause
from evalkit.store.plan import Standing, StoredPlan
from evalkit.store.tallies import change_matchup, change_tallies, main_pairs
from evalkit.store.trials import trials_of
from evalkit.store.votes import last_votes

_PAUSED = "paused"
_WITHDRAW = "withdraw"  # in the log; its detail: {"votes", "corrections"}, how many went


def note(
    connection: sa.Connection,
    now: str,
    actor: str,
    event: str,
    detail: str = "",
    annotator_id: str | None = None,
) -> None:
    """A new row of the log."""
    row = {
        "at": now, "actor": actor, "event": event, "detail": detail, "annotator_id": annotator_id,
    }  # fmt: skip
    connection.execute(sa.insert(schema.log), row)


def block(connection: sa.Connection, annotator_id: str, reason: str, now: str) -> None:
    """Keep the annotator from new trials and votes; the log has the reason."""
    known(connection, annotator_id)
    set_annotator(connection, annotator_id, blocked_at=now, blocked_reason=reason)
    note(connection, now, "coordinator", "block", reason, annotator_id)


def unblock(connection: sa.Connection, annotator_id: str, now: str) -> bool:
    """Let the annotator go on; False, and nothing changes, where they were not blocked."""
    if known(connection, annotator_id).blocked_at is None:
        return False
    set_annotator(connection, annotator_id, blocked_at=None, blocked_reason=None)
    note(connection, now, "coordinator", "unblock", "", annotator_id)
    return True


def pause(connection: sa.Connection, reason: str, now: str) -> bool:
    """Give nobody a trial until the study is resumed; votes on open trials are still taken.

    False, and nothing changes, where it is paused already: since then, and for that reason.
    """
    if read_values(connection, [_PAUSED]):
        return False
    write_meta(connection, _PAUSED, {"at": now, "reason": reason})
    note(connection, now, "coordinator", "pause", reason)
    return True


def resume(connection: sa.Connection, now: str) -> None:
    """End the pause, in which no place went to anybody else; nothing changes without one."""
    if read_values(connection, [_PAUSED]):
        keep_places_of_a_pause(connection, Standing.read(connection), now)
        forget_meta(connection, [_PAUSED])
        note(connection, now, "coordinator", "resume")


def withdraw(connection: sa.Connection, plan: StoredPlan, annotator_id: str, now: str) -> int:
    """Delete what the annotator gave; the number of votes that stood. A second time: 0.

    Votes, trials and logins go, and of the sessions the sizes of the window, of the log what the
    page noted about it, of the annotator what Prolific calls them and their sitting there. A hash
    of the former stays, by which they are known not to take part again. The tallies follow, and the
    log says how many votes went.
    """
    if known(connection, annotator_id).withdrawn_at is not None:
        return 0
    trials = trials_of(connection, annotator_id)
    votes = _standing(connection, annotator_id)
    change_tallies(connection, main_pairs([r for r in trials if r.state == "open"]), open=-1)
    change_tallies(connection, main_pairs([r for r in trials if r.state == "voted"]), voted=-1)
    change_tallies(connection, main_pairs(trials), issued=-1)
    for row in trials:
        if row.kind == "main" and row.trial_id in votes:
            matchup = plan.pairs[row.pair_id].matchup
            choice = votes[row.trial_id]
            change_matchup(connection, row.question_id, matchup, row.left, choice, by=-1)
    corrections = _delete(connection, annotator_id) - len(votes)
    gone = {"external_id": None, "external_session": None, "place_until": None}
    set_annotator(connection, annotator_id, withdrawn_at=now, **gone)
    deleted = json.dumps({"votes": len(votes), "corrections": corrections})
    note(connection, now, "annotator", _WITHDRAW, deleted, annotator_id)
    return len(votes)


def _standing(connection: sa.Connection, annotator_id: str) -> dict[str, str]:
    """The annotator's choices as they stand, by trial_id."""
    of_annotator = _trial_ids(annotator_id)
    query = last_votes().where(schema.votes.c.trial_id.in_(of_annotator))
    return {row.trial_id: row.choice for row in connection.execute(query)}


def withdrawn_votes(connection: sa.Connection) -> int:
    """How many votes and corrections the log says were deleted by `withdraw`."""
    log = schema.log.c
    query = sa.select(log.detail).where(log.event == _WITHDRAW, log.actor == "annotator")
    deleted = [json.loads(detail) for detail in connection.scalars(query)]
    return sum(row["votes"] + row["corrections"] for row in deleted)


def _delete(connection: sa.Connection, annotator_id: str) -> int:
    """Take out what `withdraw` names; the number of rows of votes."""
    votes, trials, logins = schema.votes, schema.trials, schema.logins
    sessions, log = schema.sessions, schema.log
    own = votes.c.trial_id.in_(_trial_ids(annotator_id))
    deleted = connection.execute(sa.delete(votes).where(own)).rowcount
    connection.execute(sa.delete(trials).where(trials.c.annotator_id == annotator_id))
    connection.execute(sa.delete(logins).where(logins.c.annotator_id == annotator_id))
    connection.execute(
        sa.update(sessions)
        .where(sessions.c.annotator_id == annotator_id)
        .values(dict.fromkeys(WINDOW))
    )
    noted = sa.and_(log.c.annotator_id == annotator_id, log.c.actor == "annotator")
    connection.execute(sa.update(log).where(noted).values(detail=""))
    return deleted


def _trial_ids(annotator_id: str) -> sa.Select:
    trials = schema.trials.c
    return sa.select(trials.trial_id).where(trials.annotator_id == annotator_id)
