"""The table meta: values under a key, as JSON."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from evalkit.store import schema

_VALUES = sa.select(schema.meta.c.key, schema.meta.c.value).where(
    schema.meta.c.key.in_(sa.bindparam("keys", expanding=True))
)


def read_meta(connection: sa.Connection, key: str) -> Any:
    """The value under this key; KeyError where there is none."""
    return read_values(connection, [key])[key]


def read_values(connection: sa.Connection, keys: Sequence[str]) -> dict[str, Any]:
    """The values under those of the keys that are there."""
    rows = connection.execute(_VALUES, {"keys": list(keys)})
    return {key: json.loads(value) for key, value in rows}


def write_meta(connection: sa.Connection, key: str, value: Any) -> None:
    """Put the value under this key, in place of any other."""
    forget_meta(connection, [key])
    connection.execute(sa.insert(schema.meta), {"key": key, "value": json.dumps(value)})


def forget_meta(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Take away what is under these keys."""
    connection.execute(sa.delete(schema.meta).where(schema.meta.c.key.in_(keys)))
