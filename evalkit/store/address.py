"""Where a vote database lies: the path of an SQLite file, or an address of PostgreSQL."""

from pathlib import Path

import sqlalchemy as sa

from evalkit.errors import StoreError

Address = Path | str


def server_url(address: str) -> sa.URL:
    """The address of a database on a PostgreSQL server; StoreError where it is none.

    No error repeats the address: a password may stand in it.
    """
    try:
        url = sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError):
        url = None
    if url is None or url.drivername != "postgresql" or not url.database:
        raise StoreError(
            "store: the address of the vote database cannot be read; allowed is "
            "postgresql://user@host:5432/database (a password with special characters is written "
            "with %-codes); correct it in study.toml"
        )
    return url.set(drivername="postgresql+psycopg")


def described(address: Address) -> str:
    """The address as it may be shown: without a password and without settings."""
    if isinstance(address, Path):
        return str(address)
    url = server_url(address)
    shown = sa.URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database
    )
    return shown.render_as_string()


def without_secrets(text: str, address: Address) -> str:
    """The text of an error, with `***` where it repeats a password of the address."""
    if isinstance(address, Path):
        return text
    url = server_url(address)
    for secret in (url.password, url.query.get("password"), url.query.get("sslpassword")):
        if secret:
            text = text.replace(str(secret), "***")
    return text
