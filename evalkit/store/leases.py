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
from evalkit.store.tallies import (
    TallyReader,
    change_tallies,
    main_pairs,
    read_results,
    read_tally,
)
from evalkit.store.trials import Trial, is_waiting, showings, trial_of, trials_of

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
    plan: StoredPlan,
    standing: Standing,
    reader: TallyReader,
    annotator_id: str,
    session_id: str,
    trial_ids: Sequence[str],
    now: str,
    seed: int,
) -> list[Trial]:
    """The annotator's open trials, topped up to as many as there are ids (see `Store`)."""
    annotator = known(connection, annotator_id)
    _require_admitted(connection, standing, annotator, session_id, now)
    until = minutes_after(now, plan.study.design.lease_minutes)
    expire_leases(connection, now)
    wanted = plan.study.design.votes_per_pair
    trials = take_up_again(connection, trials_of(connection, annotator_id), wanted, until)
    opened = [row._mapping for row in trials if is_waiting(row)]
    spare = [i for i in trial_ids if i not in {row["trial_id"] for row in opened}]
    lease = {
        "annotator_id": annotator_id,
        "session_id": session_id,
        "issued_at": now,
        "lease_until": until,
    }
    lacking = max(0, len(trial_ids) - len(opened))
    new = _issue(connection, plan, reader, trials, spare[:lacking], seed, lease)
    leased = [trial_of(row, plan) for row in (*opened, *new)]
    keep_place(connection, standing, annotator, now)
    if not leased and trial_ids and annotator.finished_at is None:
        match ending(plan, reader.read(connection), trials):
            case "done":
                set_annotator(connection, annotator_id, finished_at=now)
            case "full":
                give_up_place(connection, annotator_id)
    return leased


def ending(plan: StoredPlan, tallies: Tallies, trials: Sequence[sa.Row]) -> str:
    """Why one with these trials, all answered or given back, gets no other now.

    "wait": pairs that they have not seen lack votes, and are all leased to others. "done": nothing
    is left for them. "full": nothing is left either, and no vote of theirs counts.
    """
    if may_come(plan.trials, showings(trials), tallies):
        return "wait"
    counted = (row.state == "voted" and row.kind in ("main", "repeat") for row in trials)
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
    plan: StoredPlan,
    reader: TallyReader,
    trials: Sequence[sa.Row],
    trial_ids: Sequence[str],
    seed: int,
    lease: dict[str, str],
) -> list[dict[str, Any]]:
    """New trials under these ids, as long as there is a pair to show; their rows."""
    if not trial_ids:
        return []
    tallies = reader.read(connection)
    is_adaptive = plan.study.design.policy == "adaptive"
    results = read_results(connection) if is_adaptive else None
    seen = showings(trials)
    part = next((row.question_id for row in trials if is_waiting(row)), None)
    rows: list[dict[str, Any]] = []
    for number, trial_id in enumerate(trial_ids):
        showing = choose_trial(plan.trials, seen, tallies, seed + number, results)
        # A trial that shows its prompt must not be known while one that hides it is still open.
        if showing is None or part not in (None, showing.question_id):
            break
        part = showing.question_id
        seen.append(showing)
        shown = {**lease, **vars(showing), "position": len(seen), "state": "open"}
        rows.append({"trial_id": trial_id, **shown})
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
    connection: sa.Connection, trials: Sequence[sa.Row], wanted: int, until: str
) -> list[sa.Row]:
    """The annotator's trials, the unanswered ones leased anew until then.

    Of those whose lease was over, a main trial is given back for good where its pair has got the
    votes `wanted` meanwhile, or will have them from others.
    """
    waiting = [row for row in trials if is_waiting(row)]
    if not waiting:
        return list(trials)
    over = [row for row in waiting if row.state == "expired"]
    for row in over:
        state = _state_again(connection, row, wanted)
        connection.execute(
            sa.update(schema.trials).where(_TRIAL.trial_id == row.trial_id).values(state=state)
        )
    waiting_ids = [row.trial_id for row in waiting]
    connection.execute(_RENEW, {"trial_ids": waiting_ids, "until": until})
    return trials_of(connection, waiting[0].annotator_id) if over else list(trials)


def _state_again(connection: sa.Connection, row: sa.Row, wanted: int) -> str:
    """The state of a trial whose annotator is back after its lease was over."""
    if row.kind != "main":
        return "open"
    tally = read_tally(connection, row.question_id, row.pair_id)
    if tally.voted >= wanted or tally.voted + tally.open > wanted:
        return "returned"
    change_tallies(connection, main_pairs([row]), open=1)
    return "open"
