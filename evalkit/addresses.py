"""An address of an object store as a path, and files on it: one request each, plain errors.

A path of an address (`s3://`, `gs://`, `memory://`: what fsspec reads) offers what `pathlib.Path`
offers, but is none: `is_remote` tells them apart.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.errors import StudyError

_TOGETHER = 128  # requests under way at once in `get_all`
_OPTIONS = {"use_listings_cache": False}  # else another process's files would never be seen
_S3 = ("s3", "s3a")
_OPTIONS_S3 = {"max_concurrency": 1}  # else it asks for the size of every file before it reads it


def open_address(address: str, where: str) -> Path:
    """The folder at `address`; `file://` gives a plain path.

    Credentials and endpoints are those of the environment, as fsspec takes them. Nothing is looked
    at yet. Raises StudyError where a package is missing or the address is of an unknown kind.
    """
    try:
        from upath import UPath

        path = UPath(address)
        if path.protocol in ("", "file", "local"):
            return Path(path.path)
        path = UPath(address, **_OPTIONS, **(_OPTIONS_S3 if path.protocol in _S3 else {}))
        _ = path.fs
    except ImportError as error:  # fsspec names the package to install in its message
        raise StudyError(
            f'{where} = "{address}": a package for such addresses is not installed '
            f'({_said(error)}); run pip install "evalkit[remote]" (gs:// needs gcsfs too)'
        ) from None
    except Exception as error:  # unknown kinds and each file system's own refusals
        raise StudyError(
            f'{where} = "{address}": cannot be used ({_said(error)}); allowed are addresses '
            "that fsspec knows, such as s3://bucket/folder; correct it"
        ) from None
    return path


def is_remote(path: Path) -> bool:
    """Whether the path is of an object store, and not of this machine's file system."""
    return not isinstance(path, Path)


def put(path: Any, data: bytes) -> None:
    """Write `data` by one request: an object store shows the whole object or none."""
    with reached(path):
        path.fs.pipe_file(path.path, data)


def get(path: Any) -> bytes:
    """The bytes at `path`; FileNotFoundError where there are none."""
    with reached(path):
        return path.fs.cat_file(path.path)


def is_there(path: Any) -> bool:
    """Whether a file lies at `path`."""
    with reached(path):
        return path.fs.isfile(path.path)


def remove(path: Any) -> None:
    """Take away what lies at `path`, if anything does."""
    with reached(path):
        try:
            path.fs.rm_file(path.path)
        except FileNotFoundError:
            return


def get_all(paths: Sequence[Any]) -> list[bytes | None]:
    """The bytes at each path, None where there is nothing; many requests under way at once."""
    if not paths:
        return []
    with reached(paths[0]):
        found = paths[0].fs.cat(
            [path.path for path in paths],
            recursive=False,
            on_error="return",
            batch_size=_TOGETHER,
        )
    # fsspec keys its answer by paths without the protocol.
    return [_bytes(found[path.fs._strip_protocol(path.path)], path) for path in paths]


def list_sizes(folder: Any) -> dict[str, int]:
    """Names of the files that lie in the folder, with their bytes; empty without the folder."""
    with reached(folder):
        try:
            entries = folder.fs.ls(folder.path, detail=True, refresh=True)
        except FileNotFoundError:
            return {}
    return {
        entry["name"].rsplit("/", 1)[-1]: entry["size"]
        for entry in entries
        if entry["type"] == "file"
    }


@contextmanager
def reached(path: Any) -> Iterator[None]:
    """Whatever a file system raises becomes an OSError that names `path` and says why."""
    try:
        yield
    except Exception as error:  # beside OSError, each store's client has errors of its own
        number = next(
            (number for kind, number in _NUMBERS if isinstance(error, kind)),
            getattr(error, "errno", None) or errno.EIO,
        )
        raise OSError(number, _said(error), str(path)) from error


_NUMBERS = ((FileNotFoundError, errno.ENOENT), (PermissionError, errno.EACCES))


def _bytes(answer: bytes | Exception, path: Any) -> bytes | None:
    if isinstance(answer, FileNotFoundError):
        return None
    if isinstance(answer, Exception):
        with reached(path):
            raise answer
    return answer


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
