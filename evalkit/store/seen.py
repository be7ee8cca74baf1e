"""What an annotator was shown: trials that are answered for good, and those after them."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import sqlalchemy as sa

from evalkit.design import Showing
from evalkit.store import schema

_TRIAL, _VOTE = schema.trials.c, schema.votes.c
_FROM = (
    sa.select(schema.trials, _VOTE.created_at.label("answered_at"))
    .outerjoin(schema.votes, sa.and_(_VOTE.trial_id == _TRIAL.trial_id, _VOTE.revision == 1))
    .where(
        _TRIAL.annotator_id == sa.bindparam("annotator_id"),
        _TRIAL.position >= sa.bindparam("position"),
    )
    .order_by(_TRIAL.position)
)


@dataclass(frozen=True)
class Seen:
    """An annotator's trials in order: `answered` have their votes, `rows` are all after them.

    Each row is one of the table trials with `answered_at` (of its first vote, None before). The
    last of the answered ones is `last_id`; the latest vote on any of them came at `latest`.
    """

    answered: tuple[Showing, ...] = ()
    rows: tuple[sa.Row, ...] = ()
    last_id: str | None = None
    latest: str | None = None

    @cached_property
    def showings(self) -> list[Showing]:
        """What the trials showed; one that was given back is of the kind "returned"."""
        return [*self.answered, *map(_shown, self.rows)]

    @property
    def waiting(self) -> list[sa.Row]:
        """The trials that still wait for their votes."""
        return [row for row in self.rows if row.state in ("open", "expired")]

    @property
    def voted(self) -> set[int]:
        """The places in `showings`, from 0, of the trials that have their votes."""
        later = (place for place, row in enumerate(self.rows, len(self.answered)) if _has_vote(row))
        return {*range(len(self.answered)), *later}

    @property
    def last_vote_at(self) -> str | None:
        """When a trial was last answered (a correction is no new answer); None before."""
        times = [self.latest, *(row.answered_at for row in self.rows)]
        return max((time for time in times if time is not None), default=None)

    def settled(self) -> "Seen":
        """The same, with what is answered at the beginning of the rows among the answered."""
        n = next((n for n, row in enumerate(self.rows) if not _has_vote(row)), len(self.rows))
        if not n:
            return self
        done, rest = self.rows[:n], self.rows[n:]
        before = replace(self, rows=done)
        return Seen(tuple(before.showings), rest, done[-1].trial_id, before.last_vote_at)


class SeenReader:
    """One process's copy of what annotators were shown; `read` takes in only what may be new.

    A trial that has its vote never changes again. It goes with all others of its annotator, or
    where a transaction was taken back: then the last one that is known is not there as it was, and
    all are read anew.
    """

    def __init__(self) -> None:
        self._known: dict[str, Seen] = {}

    def read(self, connection: sa.Connection, annotator_id: str) -> Seen:
        """What the annotator was shown, as it stands in the connection's transaction."""
        known = self._known.get(annotator_id, Seen())
        rows = _rows_from(connection, annotator_id, len(known.answered))
        if known.answered:
            if rows and rows[0].trial_id == known.last_id and _has_vote(rows[0]):
                rows = rows[1:]
            else:
                known, rows = Seen(), _rows_from(connection, annotator_id, 0)
        seen = replace(known, rows=rows).settled()
        self._known[annotator_id] = replace(seen, rows=())
        return seen


def _rows_from(connection: sa.Connection, annotator_id: str, position: int) -> tuple[sa.Row, ...]:
    sought = {"annotator_id": annotator_id, "position": position}
    return tuple(connection.execute(_FROM, sought))


def _has_vote(row: sa.Row) -> bool:
    return row.state == "voted"


@lru_cache(maxsize=100_000)  # each once, however many annotators have seen it
def _showing(question_id: str, pair_id: str, left: str, kind: str) -> Showing:
    return Showing(question_id, pair_id, left, kind)


def _shown(row: sa.Row) -> Showing:
    kind = "returned" if row.state == "returned" else row.kind
    return _showing(row.question_id, row.pair_id, row.left, kind)
