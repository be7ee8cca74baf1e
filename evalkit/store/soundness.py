"""Whether a vote database agrees with itself: its file, its votes, and what counts them."""

from contextlib import closing

import pandas as pd
import sqlalchemy as sa

from evalkit.store import schema
from evalkit.store.address import Address
from evalkit.store.connect import Connections
from evalkit.store.frames import votes_frame
from evalkit.store.opening import open_connections
from evalkit.store.plan import read_plan


def unsoundness(address: Address) -> str:
    """The first contradiction in a vote database of this schema, in words; "" where there is none.

    The tallies were counted vote by vote as the votes came: who changes a choice afterwards, or
    takes a vote away, leaves them behind. StoreError where there is no vote database.
    """
    with closing(open_connections(address)) as connections:
        damage = "" if connections.is_server else _damage(connections)
        if damage:
            return damage
        with connections.reading() as connection:
            trials, votes = _trials(connection), votes_frame(connection)
            return (
                _votes_without_trial(trials, votes)
                or _choices_not_offered(connection, trials, votes)
                or _wrong_votes_of_pairs(connection, trials)
                or _wrong_choices(connection, trials, votes)
            )


def _trials(connection: sa.Connection) -> pd.DataFrame:
    names = ["trial_id", "question_id", "pair_id", "left", "kind", "state"]
    query = sa.select(*(schema.trials.c[name] for name in names))
    return pd.DataFrame(connection.execute(query).all(), columns=names)


def _damage(connections: Connections) -> str:
    with connections.reading() as connection:
        found = str(connection.exec_driver_sql("PRAGMA integrity_check").scalar())
    return "" if found == "ok" else f"the file is damaged ({found.splitlines()[0]})"


def _votes_without_trial(trials: pd.DataFrame, votes: pd.DataFrame) -> str:
    voted = set(trials.loc[trials["state"] == "voted", "trial_id"])
    given = set(votes["trial_id"])
    for names, what in (
        (voted - given, "was answered, and its vote is not there"),
        (given - voted, "has a vote, and was not answered"),
    ):
        if names:
            return f"trial {min(names)} {what}{_more(names)}"
    return ""


def _choices_not_offered(
    connection: sa.Connection, trials: pd.DataFrame, votes: pd.DataFrame
) -> str:
    choices = {question.id: question.choices for question in read_plan(connection).study.questions}
    of = dict(zip(trials["trial_id"], trials["question_id"], strict=True))
    for trial_id, choice in zip(votes["trial_id"], votes["choice"], strict=True):
        if choice not in choices[of[trial_id]]:
            return f'the vote on trial {trial_id} is "{choice}", which its question does not offer'
    return ""


def _wrong_votes_of_pairs(connection: sa.Connection, trials: pd.DataFrame) -> str:
    """Votes per question and pair, as they were counted and as they are there."""
    main = trials[(trials["kind"] == "main") & (trials["state"] == "voted")]
    found = main.groupby(["question_id", "pair_id"]).size().to_dict()
    tally = schema.tallies.c
    query = sa.select(tally.question_id, tally.pair_id, tally.voted)
    for question_id, pair_id, counted in connection.execute(query.order_by(tally.pair_id)):
        there = found.get((question_id, pair_id), 0)
        if there != counted:
            return (
                f"pair {pair_id} was given {counted} votes on {question_id}, and {there} are there"
            )
    return ""


def _wrong_choices(connection: sa.Connection, trials: pd.DataFrame, votes: pd.DataFrame) -> str:
    """Choices per question and matchup, as they were counted and as they are there."""
    pairs = pd.DataFrame(
        connection.execute(sa.select(schema.pairs.c.pair_id, schema.pairs.c.matchup)).all(),
        columns=["pair_id", "matchup"],
    )
    main = trials[trials["kind"] == "main"].merge(votes, on="trial_id").merge(pairs, on="pair_id")
    other = main["left"].map({"a": "b", "b": "a"})
    for_left, for_right = main["choice"] == "left", main["choice"] == "right"
    main["won"] = main["left"].where(for_left, other.where(for_right, "ties"))
    found = main.groupby(["question_id", "matchup", "won"]).size().to_dict()
    table = schema.matchup_tallies.c
    query = sa.select(table.question_id, table.matchup, table.a, table.b, table.ties)
    for question_id, matchup, *counted in connection.execute(query.order_by(table.matchup)):
        there = [found.get((question_id, matchup, won), 0) for won in ("a", "b", "ties")]
        if there != counted:
            return (
                f"the choices on {question_id} between one pair of models were counted as "
                f"{_counts(counted)}, and are {_counts(there)}; a vote was changed after it was "
                "given"
            )
    return ""


def _counts(counts: list[int]) -> str:
    return "{} for one, {} for the other, {} ties".format(*counts)


def _more(names: set[str]) -> str:
    return f" (and {len(names) - 1:,} more)" if len(names) > 1 else ""
