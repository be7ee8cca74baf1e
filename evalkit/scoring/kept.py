"""What a metric gave is kept by content: a folder of files, each named by the hash of its bytes.

A file holds the rows of one batch, as NumPy's npz: `keys` (n) and columns of n rows each. It is
written once and whole, so that two runs never disturb each other and a stopped one loses nothing; a
file whose bytes are not those that it was named by, or that holds a number that is not finite, is
deleted and its rows are computed again. One that cannot be read at the moment stays.
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from evalkit.files import remove_leftovers, write_bytes

Columns = dict[str, np.ndarray]
_HELD = 256  # files whose rows stay in memory
_DIGITS = 32  # of the hash, in the name


class Kept:
    """Rows by content key; nothing is held in memory but the keys and what was read last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, tuple[Path, int]] = {}
        self._read = lru_cache(_HELD)(_read)
        remove_leftovers(folder)
        for file in sorted(folder.glob("*.npz")):
            try:
                columns = self._read(file)
            except OSError:  # of the disk or the network; the file may be whole
                continue
            if columns is None:
                file.unlink(missing_ok=True)
            else:
                self._place(columns["keys"].tolist(), file)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def row(self, key: str) -> Columns | None:
        """The row of this key, a value (or an array) per column; None where it is not kept."""
        file, place = self._places.get(key, (None, 0))
        try:
            columns = None if file is None else self._read(file)
        except OSError:
            columns = None
        if columns is None:
            return None
        return {name: column[place] for name, column in columns.items() if name != "keys"}

    def add(self, keys: Sequence[str], columns: Columns) -> None:
        """Keep these rows, which are new."""
        stream = io.BytesIO()
        np.savez(stream, keys=np.array(keys), **columns)
        data = stream.getvalue()
        file = self._folder / f"{_name(data)}.npz"
        write_bytes(file, data)
        self._place(keys, file)

    def _place(self, keys: Sequence[str], file: Path) -> None:
        self._places |= {key: (file, place) for place, key in enumerate(keys)}


def _read(file: Path) -> Columns | None:
    """The columns of a file; None where it is not whole as it was written. OSError as it comes."""
    data = file.read_bytes()
    if _name(data) != file.stem:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            columns = {name: found[name] for name in found.files}
    except (ValueError, zipfile.BadZipFile):
        return None
    numbers = (column for column in columns.values() if column.dtype.kind == "f")
    whole = "keys" in columns and all(np.isfinite(column).all() for column in numbers)
    return columns if whole else None


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]
