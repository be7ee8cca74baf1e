"""Files written whole or not at all: a reader never meets half a file."""

import hashlib
import io
import json
import os
import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from evalkit import addresses

_PART = re.compile(r"\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[^.]*\.part")
_OLD = 24 * 3600  # seconds after which nobody writes a part any more, wherever its writer runs


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`; parents are made.

    On this machine through a temporary neighbour, brought to the disk, and one rename; on an object
    store by one request.
    """
    if addresses.is_remote(path):
        addresses.put(path, data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / part_name()
    try:
        with part.open("xb") as stream:  # who may read it is as the umask says
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_bytes(path: Path) -> bytes:
    """The bytes of the file, wherever it lies; OSError where it cannot be read."""
    return addresses.get(path) if addresses.is_remote(path) else path.read_bytes()


def openable(path: Path) -> Path | io.BytesIO:
    """What a library that opens files takes: the path itself, or of an object store its bytes."""
    return io.BytesIO(addresses.get(path)) if addresses.is_remote(path) else path


def is_file(path: Path) -> bool:
    """Whether a file lies there; OSError where an object store cannot be asked."""
    return addresses.is_there(path) if addresses.is_remote(path) else path.is_file()


def file_sha256(path: Path) -> str:
    """The SHA-256 of the file's bytes, in hex digits."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def remove(path: Path) -> None:
    """Take the file away, if it is there; OSError where that cannot be."""
    if addresses.is_remote(path):
        addresses.remove(path)
    else:
        path.unlink(missing_ok=True)


def list_sizes(folder: Path) -> dict[str, int]:
    """Names of the files that lie in the folder, with their bytes; empty without the folder.

    Hidden files, such as the parts of files being written, are left out.
    """
    if addresses.is_remote(folder):
        return addresses.list_sizes(folder)
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            return {entry.name: entry.stat().st_size for entry in shown if entry.is_file()}
    except FileNotFoundError:
        return {}


def remove_leftovers(folder: Path) -> None:
    """Take away the parts of files and of folders whose writer was killed, directly in the folder.

    Those are parts of a process of this machine that is no more, and those older than a day (of
    another machine that shares the disk). An object store has none.
    """
    if addresses.is_remote(folder) or not folder.is_dir():
        return
    for path in folder.glob(".*.part"):
        part = _PART.fullmatch(path.name)
        if part is not None and _is_left(path, part["host"], int(part["process"])):
            _remove_part(path)


def _remove_part(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError):  # another run takes it away
        shutil.rmtree(path)


def part_name() -> str:
    """A new name for a file or folder that this process needs only as long as it runs; hidden."""
    return f".{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part"


def is_part_name(name: str) -> bool:
    """Whether the name is one that `part_name` gives, to whatever process."""
    return _PART.fullmatch(name) is not None


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_left(path: Path, host: str, process: int) -> bool:
    try:
        if time.time() - path.stat().st_mtime > _OLD:
            return True
    except FileNotFoundError:  # another run took it away, or has finished its file
        return False
    return host == _host() and not _is_alive(process)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is alive, and somebody else's
        return True
    return True
