"""What the database holds, as tables: for the analysis and for who watches over a study."""

import pandas as pd
import sqlalchemy as sa

from evalkit import tables
from evalkit.store import schema
from evalkit.store.annotators import WINDOW
from evalkit.store.votes import last_votes


def _frame(connection: sa.Connection, query: sa.Select) -> pd.DataFrame:
    result = connection.execute(query)
    return pd.DataFrame(result.all(), columns=list(result.keys()))


def trials_frame(connection: sa.Connection) -> pd.DataFrame:
    """All trials (`tables.TRIALS`) in the order they were issued."""
    table = schema.trials
    order = (table.c.issued_at, table.c.annotator_id, table.c.position)
    frame = _frame(connection, sa.select(table).order_by(*order))
    return tables.check(frame, tables.TRIALS, "trials")


def votes_frame(connection: sa.Connection) -> pd.DataFrame:
    """The votes as they stand (`tables.VOTES`), in order of time; see `Store.votes`."""
    first, last = schema.votes.alias("first").c, last_votes().subquery().c
    query = (
        sa.select(
            last.trial_id,
            last.choice,
            first.response_ms,
            first.created_at,
            last.revision,
            last.reason,
            last.session_id.label("voted_session_id"),
        )
        .where(first.trial_id == last.trial_id, first.revision == 1)
        .order_by(first.created_at, first.trial_id)
    )
    return tables.check(_frame(connection, query), tables.VOTES, "votes")


def vote_keys_frame(connection: sa.Connection) -> pd.DataFrame:
    """See `Store.vote_keys`; in no order."""
    votes, trials, who = schema.votes, schema.trials, schema.annotators
    of_vote = (votes.c[name] for name in ("trial_id", "revision", "created_at", "choice"))
    query = sa.select(*of_vote, who.c.simulated).select_from(
        votes.join(trials, trials.c.trial_id == votes.c.trial_id).join(
            who, who.c.annotator_id == trials.c.annotator_id
        )
    )
    return _frame(connection, query).astype({"simulated": bool})


def annotators_frame(connection: sa.Connection) -> pd.DataFrame:
    """A row per annotator, in the order they were invited; see `Store.annotators`."""
    who, trials = schema.annotators, schema.trials
    practice = trials.c.kind == "practice"
    shown = sa.and_(~practice, trials.c.state != "returned")
    voted = trials.c.state == "voted"
    counted = {
        "n_trials": shown,
        "n_votes": sa.and_(shown, voted),
        "n_practice": sa.and_(practice, voted),
    }
    counts = (
        sa.select(
            trials.c.annotator_id,
            *(sa.func.count(sa.case((which, 1))).label(name) for name, which in counted.items()),
        )
        .group_by(trials.c.annotator_id)
        .subquery()
    )
    columns = (
        "annotator_id", "simulated", "entry", "external_id", "external_session", "invited_at",
        "consented_at", "finished_at", "last_seen_at", "withdrawn_at", "blocked_at",
        "blocked_reason",
    )  # fmt: skip
    query = (
        sa.select(
            *(who.c[name] for name in columns),
            *(sa.func.coalesce(counts.c[name], 0).label(name) for name in counted),
        )
        .select_from(who.outerjoin(counts, counts.c.annotator_id == who.c.annotator_id))
        .order_by(who.c.invited_at, who.c.annotator_id)
    )
    return _frame(connection, query)


def pair_votes_frame(connection: sa.Connection, wanted: int) -> pd.DataFrame:
    """Columns question_id, pair_id, matchup, wanted, voted, open: a row per question and pair."""
    tallies, pairs = schema.tallies, schema.pairs
    query = (
        sa.select(
            tallies.c.question_id,
            tallies.c.pair_id,
            pairs.c.matchup,
            sa.literal(wanted).label("wanted"),
            tallies.c.voted,
            tallies.c.open,
        )
        .join_from(tallies, pairs)
        .order_by(tallies.c.question_id, tallies.c.pair_id)
    )
    return _frame(connection, query)


def open_leases_frame(connection: sa.Connection, now: str) -> pd.DataFrame:
    """Columns annotator_id, trial_id, issued_at, lease_until, those that are over soonest first."""
    trials = schema.trials.c
    query = (
        sa.select(trials.annotator_id, trials.trial_id, trials.issued_at, trials.lease_until)
        .where(trials.state == "open", trials.lease_until > now)
        .order_by(trials.lease_until, trials.trial_id)
    )
    return _frame(connection, query)


def pairs_frame(connection: sa.Connection) -> pd.DataFrame:
    """Pairs and checks (`tables.BLINDED_PAIRS`), in the order in which they lie."""
    frame = _frame(connection, sa.select(schema.pairs))
    return tables.check(frame, tables.BLINDED_PAIRS, "stored pairs")


def checks_frame(connection: sa.Connection) -> pd.DataFrame:
    """Columns pair_id, question_id, role, expected (a or b), foil of all checks."""
    pairs = schema.pairs.c
    query = (
        sa.select(pairs.pair_id, pairs.question_id, pairs.role, pairs.expected, pairs.foil)
        .where(pairs.role != "main")
        .order_by(pairs.pair_id)
    )
    return _frame(connection, query)


def sessions_frame(connection: sa.Connection) -> pd.DataFrame:
    """Columns session_id, annotator_id, started_at and the window's sizes, in order of time."""
    sessions = schema.sessions.c
    names = ("session_id", "annotator_id", "started_at", *WINDOW)
    query = sa.select(*(sessions[name] for name in names))
    return _frame(connection, query.order_by(sessions.started_at, sessions.session_id))


def log_frame(connection: sa.Connection) -> pd.DataFrame:
    """Columns number, at, actor, annotator_id (None where it is nobody's), event, detail."""
    log = schema.log
    return _frame(connection, sa.select(log).order_by(log.c.number))
