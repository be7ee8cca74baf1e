"""Leases: each trial is one annotator's for a while, and its pair is kept from others."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from evalkit.design import Tallies, choose_trial, may_come
from evalkit.errors import StoreError
from evalkit.store import schema
from evalkit.store.annotators import (
    Annotator,
    has_session,
    known,
    minutes_after,
    set_annotator,
)
from evalkit.store.places import give_up_place, keep_place, require_place
from evalkit.store.plan import Standing, StoredPlan
from evalkit.store.refusals import AnnotatorBlockedError, StudyPausedError
from evalkit.store.seen import Seen
from evalkit.store.tallies import change_tallies, main_pairs, read_results, read_tally
from evalkit.store.transactions import Known
from evalkit.store.trials import Trial, trial_of

_TRIAL = schema.trials.c
_OVER = sa.and_(_TRIAL.state == "open", _TRIAL.lease_until <= sa.bindparam("now"))
_FIND_OVER = sa.select(_TRIAL.question_id, _TRIAL.pair_id, _TRIAL.kind).where(_OVER)
_EXPIRE = sa.update(schema.trials).where(_OVER).values(state="expired")
_RENEW = (
    sa.update(schema.trials)
    .where(_TRIAL.trial_id.in_(sa.bindparam("trial_ids", expanding=True)), _TRIAL.state == "open")
    .values(lease_until=sa.bindparam("until"))
)


def lease_trials(
    connection: sa.Connection,
    stored: Known,
    standing: Standing,
    annotator_id: str,
    session_id: str,
    trial_ids: Sequence[str],
    now: str,
    seed: int,
) -> list[Trial]:
    """The annotator's open trials, topped up to as many as there are ids (see `Store`)."""
    annotator = known(connection, annotator_id)
    _require_admitted(connection, standing, annotator, session_id, now)
    design = stored.plan.study.design
    until = minutes_after(now, design.lease_minutes)
    expire_leases(connection, now)
    seen = stored.seen.read(connection, annotator_id)
    if take_up_again(connection, seen.waiting, design.votes_per_pair, until):
        seen = stored.seen.read(connection, annotator_id)
    opened = [row._mapping for row in seen.waiting]
    spare = [i for i in trial_ids if i not in {row["trial_id"] for row in opened}]
    lease = {
        "annotator_id": annotator_id,
        "session_id": session_id,
        "issued_at": now,
        "lease_until": until,
    }
    lacking = max(0, len(trial_ids) - len(opened))
    new = _issue(connection, stored, seen, spare[:lacking], seed, lease)
    leased = [trial_of(row, stored.plan) for row in (*opened, *new)]
    keep_place(connection, standing, annotator, now)
    if not leased and trial_ids and annotator.finished_at is None:
        match ending(stored.plan, stored.tallies.read(connection), seen):
            case "done":
                set_annotator(connection, annotator_id, finished_at=now)
            case "full":
                give_up_place(connection, annotator_id)
    return leased


def ending(plan: StoredPlan, tallies: Tallies, seen: Seen) -> str:
    """Why one with these trials, all answered or given back, gets no other now.

    "wait": pairs that they have not seen lack votes, and are all leased to others. "done": nothing
    is left for them. "full": nothing is left either, and no vote of theirs counts.
    """
    if may_come(plan.trials, seen.showings, tallies):
        return "wait"
    counted = (seen.showings[place].kind in ("main", "repeat") for place in seen.voted)
    return "done" if any(counted) else "full"


def _require_admitted(
    connection: sa.Connection,
    standing: Standing,
    annotator: Annotator,
    session_id: str,
    now: str,
) -> None:
    name = f"annotator {annotator.annotator_id}"
    if annotator.withdrawn_at is not None:
        raise StoreError(f"{name}: has withdrawn their consent; they get no more trials")
    if annotator.blocked_at is not None:
        raise AnnotatorBlockedError(f"{name}: is blocked; unblock them first")
    if annotator.consented_at is None:
        raise StoreError(f"{name}: has not consented; record it first")
    if not has_session(connection, session_id, annotator.annotator_id):
        raise StoreError(f"{name}: no session {session_id}; start it")
    if standing.paused is not None:
        raise StudyPausedError(f"{name}: the study is paused; resume it first")
    require_place(connection, standing, annotator, now)


def _issue(
    connection: sa.Connection,
    stored: Known,
    seen: Seen,
    trial_ids: Sequence[str],
    seed: int,
    lease: dict[str, str],
) -> list[dict[str, Any]]:
    """New trials under these ids, as long as there is a pair to show; their rows."""
    if not trial_ids:
        return []
    plan, tallies = stored.plan, stored.tallies.read(connection)
    is_adaptive = plan.study.design.policy == "adaptive"
    results = read_results(connection) if is_adaptive else None
    shown = list(seen.showings)
    part = next((row.question_id for row in seen.waiting), None)
    rows: list[dict[str, Any]] = []
    for number, trial_id in enumerate(trial_ids):
        showing = choose_trial(plan.trials, shown, tallies, seed + number, results)
        # A trial that shows its prompt must not be known while one that hides it is still open.
        if showing is None or part not in (None, showing.question_id):
            break
        part = showing.question_id
        shown.append(showing)
        row = {**lease, **vars(showing), "position": len(shown), "state": "open"}
        rows.append({"trial_id": trial_id, **row})
    if rows:
        connection.execute(sa.insert(schema.trials), rows)
        mains = [(row["question_id"], row["pair_id"]) for row in rows if row["kind"] == "main"]
        change_tallies(connection, mains, issued=1, open=1)
    return rows


def expire_leases(connection: sa.Connection, now: str) -> None:
    """Free the pairs of all open trials whose lease is over."""
    rows = connection.execute(_FIND_OVER, {"now": now}).all()
    if rows:
        connection.execute(_EXPIRE, {"now": now})
        change_tallies(connection, main_pairs(rows), open=-1)


def take_up_again(
    connection: sa.Connection, waiting: Sequence[sa.Row], wanted: int, until: str
) -> bool:
    """Lease the annotator's unanswered trials anew until then; whether a state changed by that.

    Of those whose lease was over, a main trial is given back for good where its pair has got the
    votes `wanted` meanwhile, or will have them from others.
    """
    if not waiting:
        return False
    over = [row for row in waiting if row.state == "expired"]
    for row in over:
        state = _state_again(connection, row, wanted)
        connection.execute(
            sa.update(schema.trials).where(_TRIAL.trial_id == row.trial_id).values(state=state)
        )
    waiting_ids = [row.trial_id for row in waiting]
    connection.execute(_RENEW, {"trial_ids": waiting_ids, "until": until})
    return bool(over)


def _state_again(connection: sa.Connection, row: sa.Row, wanted: int) -> str:
    """The state of a trial whose annotator is back after its lease was over."""
    if row.kind != "main":
        return "open"
    tally = read_tally(connection, row.question_id, row.pair_id)
    if tally.voted >= wanted or tally.voted + tally.open > wanted:
        return "returned"
    change_tallies(connection, main_pairs([row]), open=1)
    return "open"
