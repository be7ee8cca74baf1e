"""Votes: each stored once, committed before it is acknowledged; corrections are new rows."""

from dataclasses import dataclass

import sqlalchemy as sa

from evalkit.errors import StoreError, listed
from evalkit.store import schema
from evalkit.store.annotators import has_session, known
from evalkit.store.plan import StoredPlan
from evalkit.store.refusals import AnnotatorBlockedError
from evalkit.store.tallies import change_matchup, change_tallies, main_pairs
from evalkit.store.trials import find_trial

_VOTE = schema.votes.c


@dataclass(frozen=True)
class Vote:
    """What was pressed on a trial; `revision` counts from 1, each corrects the one before."""

    trial_id: str
    choice: str
    response_ms: int
    created_at: str
    revision: int
    reason: str = ""


_COLUMNS = tuple(_VOTE[name] for name in Vote.__dataclass_fields__)
_ON_TRIAL = (
    sa.select(*_COLUMNS).where(_VOTE.trial_id == sa.bindparam("key")).order_by(_VOTE.revision)
)
_VOTED = (
    sa.update(schema.trials)
    .where(schema.trials.c.trial_id == sa.bindparam("key"))
    .values(state="voted")
)


def votes_on(connection: sa.Connection, trial_id: str) -> list[Vote]:
    """All revisions of the vote on this trial, in order."""
    return [Vote(**row._mapping) for row in connection.execute(_ON_TRIAL, {"key": trial_id})]


def has_votes(connection: sa.Connection) -> bool:
    """Whether there is any vote."""
    return connection.execute(sa.select(_VOTE.trial_id).limit(1)).first() is not None


def last_votes() -> sa.Select:
    """The votes as they stand: of each trial the last revision."""
    votes = schema.votes
    later = votes.alias("later")
    last = ~sa.exists().where(
        later.c.trial_id == votes.c.trial_id, later.c.revision > votes.c.revision
    )
    return sa.select(votes).where(last)


def record_vote(
    connection: sa.Connection,
    plan: StoredPlan,
    vote: Vote,
    annotator_id: str,
    session_id: str | None,
) -> Vote:
    """The vote of this trial and revision as stored: this one, or the one already there.

    Raises StoreError where the annotator may not vote so (see `Store.record_vote`).
    """
    trial = find_trial(connection, vote.trial_id)
    if trial is None or trial.annotator_id != annotator_id:
        raise StoreError(f"trial {vote.trial_id}: not a trial of annotator {annotator_id}")
    before = votes_on(connection, vote.trial_id)
    for stored in before:
        if stored.revision == vote.revision:
            return stored
    _check(connection, plan, vote, trial, session_id)
    _check_revision(connection, vote, trial, before)
    corrects = before[-1].revision if before else None
    row = {**vars(vote), "corrects": corrects, "session_id": session_id}
    connection.execute(sa.insert(schema.votes), row)
    _count(connection, plan, trial, vote, before)
    return vote


def _check(
    connection: sa.Connection,
    plan: StoredPlan,
    vote: Vote,
    trial: sa.Row,
    session_id: str | None,
) -> None:
    where = f"trial {vote.trial_id}"
    if known(connection, trial.annotator_id).blocked_at is not None:
        raise AnnotatorBlockedError(f"annotator {trial.annotator_id}: is blocked; unblock them")
    offered = plan.study.question(trial.question_id).choices
    if vote.choice not in offered:
        raise StoreError(f'{where}: choice "{vote.choice}"; the question offers {listed(offered)}')
    if vote.response_ms < 0:
        raise StoreError(f"{where}: response_ms = {vote.response_ms}; at least 0")
    if session_id is not None and not has_session(connection, session_id, trial.annotator_id):
        raise StoreError(
            f"{where}: no session {session_id} of annotator {trial.annotator_id}; start it"
        )


def _check_revision(
    connection: sa.Connection, vote: Vote, trial: sa.Row, before: list[Vote]
) -> None:
    where = f"trial {vote.trial_id}"
    if vote.revision != len(before) + 1:
        raise StoreError(
            f"{where}: revision {vote.revision}; the next one is {len(before) + 1}; send that"
        )
    if before and _last_answered(connection, trial.annotator_id) != vote.trial_id:
        raise StoreError(
            f"{where}: is not the last one that was answered; only that one can be corrected"
        )


def _last_answered(connection: sa.Connection, annotator_id: str) -> str | None:
    trials = schema.trials.c
    query = (
        sa.select(trials.trial_id)
        .join_from(schema.trials, schema.votes)
        .where(trials.annotator_id == annotator_id, _VOTE.revision == 1)
        .order_by(_VOTE.created_at.desc(), trials.position.desc())
        .limit(1)
    )
    return connection.execute(query).scalar()


def _count(
    connection: sa.Connection,
    plan: StoredPlan,
    trial: sa.Row,
    vote: Vote,
    before: list[Vote],
) -> None:
    """Let the state of the trial and the tallies follow from the vote."""
    if not before:
        connection.execute(_VOTED, {"key": vote.trial_id})
        was_open = int(trial.state == "open")
        change_tallies(connection, main_pairs([trial]), voted=1, open=-was_open)
    if trial.kind == "main":
        place = (trial.question_id, plan.pairs[trial.pair_id].matchup, trial.left)
        if before:
            change_matchup(connection, *place, before[-1].choice, by=-1)
        change_matchup(connection, *place, vote.choice, by=1)
