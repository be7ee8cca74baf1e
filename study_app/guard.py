"""This process may open no file of the study folder but the database, public images, journal."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

# Where a file's name stands among the arguments of an audit event (docs.python.org: audit events).
_NAMED: dict[str, tuple[int, ...]] = {
    "open": (0,),
    "sqlite3.connect": (0,),
    "os.listdir": (0,),
    "os.scandir": (0,),
    "os.chdir": (0,),
    "os.link": (0, 1),
    "os.symlink": (0, 1),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.truncate": (0,),
}
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")


class ForbiddenFileError(PermissionError):
    """A file of the study folder that would tell whose image is whose was about to be opened."""


def guard(study: Path, allowed: Iterable[Path]) -> None:
    """From now on, opening, listing or moving anything in `study` raises ForbiddenFileError.

    Excepted are the `allowed` files and folders (a database with its -wal, -shm and -journal), and
    what Python itself is made of. No other program can be started either. There is no way back
    within the process: an audit hook stays until its end. It hears what Python opens, SQLite's
    `connect` included; it does not hear code of other languages that opens files on its own.
    """
    root = os.path.realpath(study)
    code = [sys.prefix, sys.base_prefix, *(str(Path(__file__).parents[1] / name) for name in _CODE)]
    exceptions = [os.path.realpath(path) for path in (*allowed, *code)]
    inside = [path for path in exceptions if _within(path, root)]
    sys.addaudithook(_hook(root, tuple(inside)))


_CODE = ("study_app", "evalkit")


def _hook(root: str, inside: tuple[str, ...]) -> Callable[[str, tuple[Any, ...]], None]:
    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _PROGRAMS:
            raise ForbiddenFileError(f"{event}: the app starts no other program")
        for place in _NAMED.get(event, ()):
            name = arguments[place]
            if isinstance(name, str | bytes | os.PathLike) and _is_forbidden(name, root, inside):
                raise ForbiddenFileError(f"{os.fsdecode(name)}: closed to the app ({event})")

    return refuse


def _is_forbidden(name: str | bytes | os.PathLike, root: str, inside: tuple[str, ...]) -> bool:
    text = os.fsdecode(name)
    if text.startswith("file:"):  # SQLite takes addresses too
        text = unquote(urlsplit(text).path)
    path = os.path.realpath(text)
    return _within(path, root) and not any(_is_part_of(path, place) for place in inside)


def _is_part_of(path: str, place: str) -> bool:
    """Whether it is the file or folder, within the folder, or one of the database's companions."""
    return _within(path, place) or any(
        path == place + suffix for suffix in ("-wal", "-shm", "-journal")
    )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
