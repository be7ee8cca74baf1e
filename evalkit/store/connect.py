"""Connections to a vote database: reading, writing one at a time; SQLite and PostgreSQL alike.

All that differs between the two stands here (the SQL itself is the same).
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from evalkit.errors import StoreError
from evalkit.store.address import Address, described, server_url, without_secrets
from evalkit.store.refusals import StoreUnavailableError

BUSY_SECONDS = 10  # how long a writer waits for another
_POLL_SECONDS = 0.001  # from try to try of a writer whose turn another process has
_CONNECT_SECONDS = 5  # how long a server may take to answer at all
_WRITERS = 0x6576616C6B6974  # names the lock that writers take in turn: "evalkit"
_IN_TURN = sa.select(sa.func.pg_advisory_xact_lock(_WRITERS))
_IN_TURN_UNSYNCED = _IN_TURN.add_columns(sa.func.set_config("synchronous_commit", "off", True))
_FILE_POOL = {"pool_size": 5, "max_overflow": 35, "pool_timeout": BUSY_SECONDS}
# Of a server's connections (100, if nobody says otherwise) each process takes a few.
_SERVER_POOL = {"pool_size": 5, "max_overflow": 10, "pool_timeout": BUSY_SECONDS}
# Faults of ours or of what was given; every other error of a database may pass.
_LASTING = (sa.exc.ProgrammingError, sa.exc.DataError, sa.exc.NotSupportedError)


class Connections:
    """Connections to the database at one address; safe to share between threads.

    `writing` is serialised over all threads and processes: what a transaction reads stays true
    until it is committed. Of SQLite, `create` makes a file that is not there, and `rebuild` lets
    tables be put in the place of those that rows refer to, unchecked.
    """

    def __init__(self, address: Address, create: bool = False, rebuild: bool = False) -> None:
        self.name = described(address)
        self._address = address
        self._writers = threading.Lock()
        self._together = threading.local()  # has the connection of a thread in `together`
        self.is_server = not isinstance(address, Path)
        if self.is_server:
            self.engine = _server(str(address))
        else:
            self.engine = _file(Path(address), "rwc" if create else "rw", not rebuild)

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that writes nothing."""
        if hasattr(self._together, "connection"):
            yield self._together.connection
            return
        with self._translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(
        self, failed: Callable[[], None] = lambda: None, durable: bool = True
    ) -> Iterator[sa.Connection]:
        """A transaction that no other writer runs beside, on the disk when the block is left.

        Without `durable` it is visible to all then, and reaches the disk with the next one that is
        durable: a loss of power may take it back, the end of a process does not. `failed` is called
        before the next writer begins, where it ended otherwise than by a commit or a refusal.
        """
        if hasattr(self._together, "connection"):
            yield self._together.connection
            return
        # Threads of one process queue here, where waiting costs nothing.
        if not self._writers.acquire(timeout=BUSY_SECONDS):
            raise self._unavailable("another writer does not come to its end")
        try:
            with self._translated(), self.engine.connect() as plain:
                connection = plain.execution_options(evalkit_write=True, evalkit_durable=durable)
                with connection.begin():
                    if self.is_server:
                        connection.execute(_IN_TURN if durable else _IN_TURN_UNSYNCED)
                    yield connection
        except BaseException as error:
            if not isinstance(error, StoreError) or isinstance(error, StoreUnavailableError):
                failed()
            raise
        finally:
            self._writers.release()

    @contextmanager
    def together(self, failed: Callable[[], None] = lambda: None) -> Iterator[None]:
        """One `writing` transaction of all that this thread reads and writes within the block."""
        with self.writing(failed) as connection:
            self._together.connection = connection
            try:
                yield
            finally:
                del self._together.connection

    def tables(self) -> set[str]:
        """The names of the tables that the database holds."""
        with self._translated():
            return set(sa.inspect(self.engine).get_table_names())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except sa.exc.DataError as error:
            raise StoreError(f"{self.name}: cannot hold what was given ({error.orig})") from error
        except _LASTING:
            raise
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                raise StoreError(
                    f"{self.name}: not a vote database of evalkit; move it away"
                ) from None
            raise self._unavailable(str(error.orig)) from error
        except sa.exc.TimeoutError as error:
            raise self._unavailable("all connections are in use") from error

    def _unavailable(self, why: str) -> StoreUnavailableError:
        said = without_secrets(" ".join(why.split()), self._address)
        return StoreUnavailableError(
            f"{self.name}: the vote database does not answer now ({said}); "
            + (
                "see that its server runs, that it can be reached and that its disk has room, "
                if self.is_server
                else "close what else uses it, make room on the disk or restore the file, "
            )
            + "then try again"
        )


def _file(path: Path, mode: str, foreign_keys: bool) -> sa.Engine:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    settings = (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",  # a withdrawn vote is overwritten, not only unlinked
        f"foreign_keys={int(foreign_keys)}",
    )

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool, **_FILE_POOL)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # the driver would begin transactions late, unlocked
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")
        record.info["file"] = _identity(path)

    @sa.event.listens_for(engine, "checkout")
    def _same_file(_connection: sqlite3.Connection, record: Any, _proxy: Any) -> None:
        # A vote written into a file that was moved away or replaced would be lost.
        if record.info["file"] != _identity(path):
            raise sa.exc.DisconnectionError

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        writes = options.get("evalkit_write", False)
        if writes:
            synchronous = "FULL" if options["evalkit_durable"] else "NORMAL"
            connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
            _begin_in_turn(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_in_turn(connection: sa.Connection) -> None:
    """Begin to write as soon as no other process does; after `BUSY_SECONDS` that is an error.

    SQLite's own waiting sleeps for longer and longer, up to 100 ms: too long between votes that
    take 3 ms.
    """
    until = time.monotonic() + BUSY_SECONDS
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        while not _begun(connection, is_last=time.monotonic() > until):
            time.sleep(_POLL_SECONDS)
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS:.0f}")


def _begun(connection: sa.Connection, is_last: bool) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except sa.exc.OperationalError as error:
        if is_last or error.orig.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _server(address: str) -> sa.Engine:
    settings = {"connect_timeout": _CONNECT_SECONDS, "tcp_user_timeout": 1000 * BUSY_SECONDS}
    url = server_url(address)
    given = {name: value for name, value in settings.items() if name not in url.query}
    try:
        engine = sa.create_engine(url, connect_args=given, pool_pre_ping=True, **_SERVER_POOL)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"{described(address)}: votes on a PostgreSQL server need {error.name}, which is not "
            'installed; run: pip install "evalkit[postgres]"'
        ) from None

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
            cursor.execute("SELECT current_setting('synchronous_commit')")
            # Other settings wait for this disk, or for more than it; they stay as they are.
            if cursor.fetchone() == ("off",):
                cursor.execute("SET synchronous_commit = on")
        connection.commit()

    return engine
