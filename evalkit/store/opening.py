"""Vote databases made, found and opened by their address."""

from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from evalkit.errors import StoreError, listed
from evalkit.files import part_name
from evalkit.store import schema
from evalkit.store.address import Address, described
from evalkit.store.connect import Connections
from evalkit.store.database import Store
from evalkit.store.meta import read_values
from evalkit.store.plan import write_plan
from evalkit.study import Study

_OURS = {"meta", "annotators", "trials", "votes"}  # in every schema


def store_exists(address: Address) -> bool:
    """Whether there is a vote database (of a file: any file).

    Of a server, StoreError where the database holds other tables, StoreUnavailableError where it
    does not answer.
    """
    if isinstance(address, Path):
        return address.is_file()
    connections = Connections(address)
    try:
        return _is_ours(connections)
    finally:
        connections.close()


def create_store(address: Address, study: Study, pairs: pd.DataFrame) -> Store:
    """A new vote database for the study and its blinded pairs (`tables.BLINDED_PAIRS`).

    Raises StoreError where there is one already, or the server's database holds other tables.
    """
    if store_exists(address):
        raise StoreError(
            f"{described(address)}: exists already; votes are never overwritten; move it away"
        )
    if not isinstance(address, Path):
        _fill(Connections(address), study, pairs)
        return open_store(address)
    part = address.parent / part_name()  # so that a file is never half a database
    try:
        _fill(Connections(part, create=True), study, pairs)
        part.replace(address)
    finally:
        part.unlink(missing_ok=True)
    return open_store(address)


def _fill(connections: Connections, study: Study, pairs: pd.DataFrame) -> None:
    try:
        with connections.writing() as connection:
            schema.metadata.create_all(connection)
            write_plan(connection, study, pairs)
    finally:
        connections.close()


def open_store(address: Address) -> Store:
    """The vote database at `address`; StoreError where it is missing or of another schema.

    StoreUnavailableError where it is locked or cannot be read now.
    """
    connections = open_connections(address)
    try:
        with connections.reading() as connection:
            version = stored_version(connection, connections.name)
        if version < schema.SCHEMA_VERSION:
            raise StoreError(
                f"{connections.name}: schema {version} of an older evalkit, this one reads "
                f"{schema.SCHEMA_VERSION}; stop what serves the study, then run: "
                "evalkit store upgrade STUDY"
            )
        if version > schema.SCHEMA_VERSION:
            raise StoreError(
                f"{connections.name}: schema {version} of a newer evalkit, this one reads "
                f"{schema.SCHEMA_VERSION}; use the evalkit that made it"
            )
    except BaseException:
        connections.close()
        raise
    return Store(connections)


def open_connections(address: Address, rebuild: bool = False) -> Connections:
    """Connections to a vote database of any schema; StoreError where there is none."""
    missing = f"{described(address)}: no vote database; start the study with: evalkit serve"
    if isinstance(address, Path) and not address.is_file():
        raise StoreError(missing)
    connections = Connections(address, rebuild=rebuild)
    try:
        if not _is_ours(connections):
            raise StoreError(missing)
    except BaseException:
        connections.close()
        raise
    return connections


def stored_version(connection: sa.Connection, name: str) -> int:
    """The schema of the database, which errors call by this name."""
    version = read_values(connection, ["schema_version"]).get("schema_version")
    if not isinstance(version, int):
        raise StoreError(f"{name}: not a vote database of evalkit; move it away")
    return version


def _is_ours(connections: Connections) -> bool:
    """Whether the tables are ours; False where a server's database is empty."""
    found = connections.tables()
    if found >= _OURS:
        return True
    if connections.is_server and not found:
        return False
    if connections.is_server:
        raise StoreError(
            f"{connections.name}: holds other tables ({listed(sorted(found)[:3])}); give the study "
            "a database of its own"
        )
    raise StoreError(f"{connections.name}: not a vote database of evalkit; move it away")
