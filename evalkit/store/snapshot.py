"""A consistent copy of a vote database in a file, also while people vote."""

import sqlite3
from contextlib import closing
from pathlib import Path

from evalkit.errors import StoreError


def snapshot(votes: Path, copy: Path) -> None:
    """Copy the vote database as of one moment, with what its write-ahead log holds.

    StoreError where it cannot be read. By SQLite's backup interface: copying the file alone loses
    what was committed last.
    """
    try:
        with (
            closing(sqlite3.connect(f"{votes.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise StoreError(
            f"{votes}: cannot be copied ({error}); close what holds it, or put it back from a copy"
        ) from None
