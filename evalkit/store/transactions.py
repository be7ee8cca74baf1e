"""Transactions on one vote database, and what of it was read before."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sa

from evalkit.store.connect import Connections
from evalkit.store.plan import Standing, StoredPlan, read_plan
from evalkit.store.seen import SeenReader
from evalkit.store.tallies import TallyReader


@dataclass(frozen=True)
class Known:
    """What this process keeps of the database, by one plan: the readers read what is new."""

    plan: StoredPlan
    tallies: TallyReader
    seen: SeenReader


class Transactions:
    """Reading, writing and several calls together; safe to share between threads."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._known: Known | None = None
        self._learning = threading.Lock()
        self._together = threading.local()  # has the standing, where a thread has read it

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make one transaction of all that this thread calls within the block, all or nothing.

        The plan, the entry and a pause are read once: nobody else can change them meanwhile, and
        nothing within the block may.
        """
        with self._connections.together(self._forget):
            self._together.standing = None
            try:
                yield
            finally:
                del self._together.standing

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def _plan(self, connection: sa.Connection) -> StoredPlan:
        return self._current(connection)[0].plan

    def _current(self, connection: sa.Connection) -> tuple[Known, Standing]:
        """The plan with its readers, read anew only where another plan was put in place."""
        standing = self._standing(connection)
        with self._learning:  # many that ask at once after a start read it once
            if self._known is None or self._known.plan.study.plan_id != standing.plan_id:
                plan = read_plan(connection)
                self._known = Known(plan, TallyReader(plan.trials), SeenReader())
            return self._known, standing

    def _standing(self, connection: sa.Connection) -> Standing:
        if not hasattr(self._together, "standing"):
            return Standing.read(connection)
        if self._together.standing is None:
            self._together.standing = Standing.read(connection)
        return self._together.standing

    def _frame(self, read: Callable[[sa.Connection], pd.DataFrame]) -> pd.DataFrame:
        with self._reading() as connection:
            return read(connection)

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        return self._connections.reading()

    def _writing(self, durable: bool = True) -> AbstractContextManager[sa.Connection]:
        return self._connections.writing(self._forget, durable)

    def _forget(self) -> None:
        """A transaction that was not committed may have read what it changed itself."""
        with self._learning:
            self._known = None
