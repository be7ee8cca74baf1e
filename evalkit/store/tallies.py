"""The tallies of pairs and matchups: changed with each trial and vote, read row by row."""

import threading
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from evalkit.design import Tallies, Tally, TrialPlan
from evalkit.store import schema

PairKey = tuple[str, str]  # question_id, pair_id


_TALLY = schema.tallies.c
_OF_PAIR = sa.and_(
    _TALLY.question_id == sa.bindparam("of_question"), _TALLY.pair_id == sa.bindparam("of_pair")
)
_NEWEST = schema.tallies.alias("newest")  # only one writer at a time: its numbers grow
_CHANGE = (
    sa.update(schema.tallies)
    .where(_OF_PAIR)
    .values(
        issued=_TALLY.issued + sa.bindparam("by_issued"),
        voted=_TALLY.voted + sa.bindparam("by_voted"),
        open=_TALLY.open + sa.bindparam("by_open"),
        changed=sa.select(sa.func.max(_NEWEST.c.changed) + 1).scalar_subquery(),
    )
)
_CHANGED = sa.select(
    _TALLY.question_id, _TALLY.pair_id, _TALLY.issued, _TALLY.voted, _TALLY.open, _TALLY.changed
).where(_TALLY.changed > sa.bindparam("last"))


class TallyReader:
    """One process's copy of the table of tallies; `read` takes in only what changed since."""

    def __init__(self, plan: TrialPlan) -> None:
        self._tallies = Tallies.of(plan)
        self._last = 0  # the greatest number of a change that was taken in
        self._reading = threading.Lock()  # an older answer must not be put over a newer one

    def read(self, connection: sa.Connection) -> Tallies:
        """The tallies as they stand in the connection's transaction."""
        with self._reading:
            rows = connection.execute(_CHANGED, {"last": self._last})
            for question_id, pair_id, *counts, changed in rows:
                self._tallies.put(question_id, pair_id, *counts)
                self._last = max(self._last, changed)
        return self._tallies


def change_tallies(
    connection: sa.Connection,
    pairs: Iterable[PairKey],
    issued: int = 0,
    voted: int = 0,
    open: int = 0,
) -> None:
    """Add to the tallies of main pairs, once for each time that a pair is named."""
    by = {"by_issued": issued, "by_voted": voted, "by_open": open}
    rows = [
        {"of_question": question_id, "of_pair": pair_id, **by} for question_id, pair_id in pairs
    ]
    if rows:
        connection.execute(_CHANGE, rows)


def read_tally(connection: sa.Connection, question_id: str, pair_id: str) -> Tally:
    """The tally of one pair."""
    query = sa.select(_TALLY.issued, _TALLY.voted, _TALLY.open).where(_OF_PAIR)
    place = {"of_question": question_id, "of_pair": pair_id}
    return Tally(*connection.execute(query, place).one())


def change_matchup(
    connection: sa.Connection, question_id: str, matchup: str, left: str, choice: str, by: int
) -> None:
    """Count (`by` = 1) or take back (-1) a choice on a main trial with this image on the left."""
    if choice == "left":
        column = left
    elif choice == "right":
        column = "b" if left == "a" else "a"
    else:
        column = "ties"
    table = schema.matchup_tallies
    connection.execute(
        sa.update(table)
        .where(table.c.question_id == question_id, table.c.matchup == matchup)
        .values({column: table.c[column] + by})
    )


def read_results(connection: sa.Connection) -> dict[PairKey, tuple[int, int, int]]:
    """Votes for image a, for image b and ties, by (question_id, matchup)."""
    table = schema.matchup_tallies.c
    query = sa.select(table.question_id, table.matchup, table.a, table.b, table.ties)
    return {
        (question_id, matchup): (a, b, ties)
        for question_id, matchup, a, b, ties in connection.execute(query)
    }


def main_pairs(trials: Sequence[sa.Row]) -> list[PairKey]:
    """Of these rows of the table trials, what the main ones show: the only ones that count."""
    return [(row.question_id, row.pair_id) for row in trials if row.kind == "main"]
