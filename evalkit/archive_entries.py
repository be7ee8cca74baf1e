"""What an archive from elsewhere holds, entry by entry: put into a folder, or refused."""

import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from evalkit.errors import StudyError

_MOST_BYTES = 500 * 2**30
_MOST_FILES = 5_000_000
_MOST_UNPACKED = 200  # times the archive's own size; images do not shrink, tables by 20 at most
_SMALL = 2**30  # bytes that any archive may unpack to
_BLOCK = 2**20
_DAMAGE = (  # what the readers of archives raise on bytes that are none
    zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, struct.error,
    NotImplementedError, ValueError,
)  # fmt: skip

Entry = tuple[str, IO[bytes]]  # name in the study folder, content


@contextmanager
def archive_entries(source: Path, place: Path) -> Iterator[Iterator[Entry]]:
    """The files of a .zip or .tar.gz, which are to be unpacked into the folder `place`.

    StudyError where it is neither, is damaged (also where that shows while entries are read), holds
    what is no plain file, or would fill the disk of `place`.
    """
    try:
        if source.name.lower().endswith(".zip"):
            with zipfile.ZipFile(source) as file:
                yield _zipped(source, file, place)
        elif source.name.lower().endswith((".tar.gz", ".tgz")):
            with tarfile.open(source, "r:gz") as file:
                yield _tarred(source, file, place)
        else:
            raise StudyError(f"import: {source}: allowed are .zip, .tar.gz and a study folder")
    except FileNotFoundError:
        raise StudyError(f"import: {source}: no such file or folder; check the path") from None
    except _DAMAGE as error:
        raise _damaged(source, error) from None
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the archive
            raise
        raise _damaged(source, error) from None


def unpack(source: Path, entries: Iterator[Entry], place: Path) -> None:
    """Write the entries below the folder `place`; StudyError where one would lie elsewhere."""
    for name, content in entries:
        path = PurePosixPath(name)
        if not path.parts:
            raise _refused(source, name, "names no file")
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
            raise _refused(source, name, "would lie outside the study's folder")
        target = place.joinpath(*path.parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                shutil.copyfileobj(content, stream, _BLOCK)
        except (FileExistsError, NotADirectoryError):  # the second where one is a folder as well
            raise _refused(source, name, "stands twice") from None


def _damaged(source: Path, error: Exception) -> StudyError:
    return StudyError(f"import: {source}: is damaged or no archive ({error}); fetch it again")


def _zipped(source: Path, file: zipfile.ZipFile, place: Path) -> Iterator[Entry]:
    entries = file.infolist()
    _require_measure(source, place, len(entries), sum(entry.file_size for entry in entries))
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.is_dir():
            continue
        if kind not in (0, stat.S_IFREG) or entry.flag_bits & 1:
            raise _refused(source, entry.filename, "is a link or another special or locked file")
        with file.open(entry) as content:
            yield entry.filename, content


def _tarred(source: Path, file: tarfile.TarFile, place: Path) -> Iterator[Entry]:
    size = 0
    for n, entry in enumerate(file, start=1):
        size += entry.size
        _require_measure(source, place, n, size)
        if entry.isdir():
            continue
        content = file.extractfile(entry) if entry.isreg() else None
        if content is None:
            raise _refused(source, entry.name, "is a link or another special file")
        yield entry.name, content
    while file.fileobj.read(_BLOCK):  # to its end, where the checksum of the whole stands
        continue


def _require_measure(source: Path, place: Path, files: int, size: int) -> None:
    """StudyError on an archive made to fill the disk of `place`."""
    free = shutil.disk_usage(place).free
    most = min(_MOST_BYTES, max(_SMALL, _MOST_UNPACKED * source.stat().st_size), free)
    if files > _MOST_FILES or size > most:
        raise StudyError(
            f"import: {source}: unpacks to {files:,} files of {size / 2**30:,.1f} GiB; allowed "
            f"here are {_MOST_FILES:,} files of {most / 2**30:,.1f} GiB; unpack it by hand if you "
            "trust it, and import the folder"
        )


def _refused(source: Path, name: str, why: str) -> StudyError:
    return StudyError(
        f'import: {source}: its entry "{name}" {why}; ask whoever made it for another'
    )
