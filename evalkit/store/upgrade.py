"""Older vote databases brought to the schema of this evalkit, in one transaction, nothing lost."""

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from evalkit.errors import StoreError
from evalkit.files import part_name
from evalkit.store import schema, schema_2
from evalkit.store.address import Address
from evalkit.store.connect import Connections
from evalkit.store.meta import read_values, write_meta
from evalkit.store.opening import open_connections, stored_version
from evalkit.store.plan import name_sha256
from evalkit.study import Study

Step = Callable[[Operations, pd.DataFrame, Mapping[str, Any], str], None]

STEPS: dict[int, Step] = {2: schema_2.upgrade}  # by the schema that it leads to


@dataclass(frozen=True)
class Upgrade:
    """What was done: the schema before and after, and where the copy of the file lies, if any."""

    before: int
    after: int
    backup: Path | None


def upgrade_store(address: Address, study: Study, checks: pd.DataFrame, now: str) -> Upgrade:
    """Bring the study's vote database to the schema of this evalkit; votes stay to the last value.

    `checks` (`tables.CHECKS`) tells what an older database does not hold. A file is copied beside
    itself first. All in one transaction: where it ends early, the database is as it was. Raises
    StoreError where there is no vote database, it is of a newer schema or, on a server, of another
    study.
    """
    connections = open_connections(address, rebuild=True)
    try:
        with connections.writing() as connection:
            before = stored_version(connection, connections.name)
            if before > schema.SCHEMA_VERSION:
                raise StoreError(
                    f"{connections.name}: schema {before} of a newer evalkit; use that one"
                )
            _require_own(connection, connections, study)
            if before == schema.SCHEMA_VERSION:
                return Upgrade(before, before, None)
            backup = _copy(address, before, now) if isinstance(address, Path) else None
            _step_up(connection, before, study, checks, now)
            _require_whole(connection, connections)
        return Upgrade(before, schema.SCHEMA_VERSION, backup)
    finally:
        connections.close()


def _require_own(connection: sa.Connection, connections: Connections, study: Study) -> None:
    """StoreError where a server's database is another study's; a file lies in its own folder."""
    stored = read_values(connection, ["name_sha256"]).get("name_sha256")  # since schema 2
    if connections.is_server and stored not in (None, name_sha256(study)):
        raise StoreError(
            f"{connections.name}: is the vote database of another study; give the command that "
            "study's folder"
        )


def _step_up(
    connection: sa.Connection, before: int, study: Study, checks: pd.DataFrame, now: str
) -> None:
    meta = {
        "own_texts": study.own_texts,
        "entry": study.entry.model_dump(mode="json"),
        "name_sha256": name_sha256(study),
    }
    operations = Operations(MigrationContext.configure(connection))
    for number in range(before + 1, schema.SCHEMA_VERSION + 1):
        STEPS[number](operations, checks, meta, now)
    write_meta(connection, "schema_version", schema.SCHEMA_VERSION)


def _require_whole(connection: sa.Connection, connections: Connections) -> None:
    """Every row that refers to another still does; SQLite did not look until now."""
    if connections.is_server:
        return
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if lost is not None:
        raise StoreError(
            f"{connections.name}: a row of {lost[0]} refers to a row of {lost[2]} that is not "
            "there; nothing was changed; restore the database from a copy"
        )


def _copy(path: Path, version: int, now: str) -> Path:
    """A copy of the database as it stands, with what is still in its -wal; its path."""
    stamp = "".join(c for c in now.partition(".")[0] if c.isalnum())
    backup = path.with_name(f"{path.stem}-schema-{version}-{stamp}.sqlite")
    part = path.with_name(part_name())
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.replace(backup)
    finally:
        part.unlink(missing_ok=True)
    return backup
