"""Transactions on one vote database, and what of its plan was read before."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pandas as pd
import sqlalchemy as sa

from evalkit.store.connect import Connections
from evalkit.store.plan import Standing, StoredPlan, read_plan
from evalkit.store.tallies import TallyReader


class Transactions:
    """Reading, writing and several calls together; safe to share between threads."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._known: tuple[StoredPlan, TallyReader] | None = None
        self._learning = threading.Lock()

    def together(self) -> AbstractContextManager[None]:
        """Make one transaction of all that this thread calls within the block, all or nothing."""
        return self._connections.together(self._forget)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def _plan(self, connection: sa.Connection) -> StoredPlan:
        return self._current(connection)[0]

    def _current(self, connection: sa.Connection) -> tuple[StoredPlan, Standing, TallyReader]:
        """The plan and its tallies, read anew only where another plan was put in place."""
        standing = Standing.read(connection)
        with self._learning:  # many that ask at once after a start read it once
            if self._known is None or self._known[0].study.plan_id != standing.plan_id:
                plan = read_plan(connection)
                self._known = (plan, TallyReader(plan.trials))
            return self._known[0], standing, self._known[1]

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
