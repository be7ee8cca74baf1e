"""A study folder as one file and back: nothing is put in place before it is verified."""

import hashlib
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from evalkit.errors import EvalkitError, StudyError
from evalkit.files import part_name
from evalkit.store import described
from evalkit.store.snapshot import snapshot
from evalkit.study_folder import StudyFolder, open_study
from evalkit.verification import Check, require_whole, verify

SUMS = "SHA256SUMS"  # in the form of sha256sum, which can check an archive without evalkit
_TIME = (1980, 1, 1, 0, 0, 0)  # of every entry: the same files give the same archive
_BESIDE_VOTES = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database
_MOST_BYTES = 500 * 2**30
_MOST_FILES = 5_000_000
_MOST_UNPACKED = 200  # times the archive's own size; images do not shrink, tables by 20 at most
_SMALL = 2**30  # bytes that any archive may unpack to
_BLOCK = 2**20

Entry = tuple[str, IO[bytes]]  # name in the study folder, content


def archive_study(folder: StudyFolder, to: Path) -> int:
    """Write the whole study, with its votes as of one moment, into a .zip; gives the files in it.

    Beside them SHA256SUMS. Raises StudyError where the file exists, where votes or images lie
    elsewhere, and on links.
    """
    if to.suffix.lower() != ".zip":
        raise StudyError(f"archive: --to {to}: must end in .zip; rename it")
    if to.exists():
        raise StudyError(f"archive: {to} exists already; give a new name")
    _require_here(folder, "archive")
    part = to.parent / part_name()
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(part, "x", allowZip64=True) as file, _entries(folder, to) as entries:
            sums = [_put(file, folder.root.resolve().name, *entry) for entry in entries]
            lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sums)
            file.writestr(_info(f"{folder.root.resolve().name}/{SUMS}"), lines)
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    return len(sums)


def _require_here(folder: StudyFolder, command: str) -> None:
    """StudyError where a part of the study is not in its folder."""
    if isinstance(folder.store_address, str):
        raise StudyError(
            f"{command}: the votes of {folder.root} lie on a server "
            f"({described(folder.store_address)}), and an archive holds files; save them with: "
            f"pg_dump --format=custom --file=votes.dump ADDRESS, and the folder with: tar"
        )
    if folder.study.images.address is not None:
        raise StudyError(
            f"{command}: the images of {folder.root} lie at {folder.study.images.address}, and an "
            "archive holds files; copy them to the folder images/ and take address out of "
            "[images] in study.toml first"
        )


@contextmanager
def _entries(folder: StudyFolder, leave_out: Path) -> Iterator[Iterator[Entry]]:
    """The files of a study in the order of their names; votes first taken as of one moment.

    First, since every vote is in a journal before it is in the database.
    """
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "votes.sqlite"
        votes = Path(folder.store_address)
        if votes.is_file():
            snapshot(votes, copy)
        yield _read_files(folder.root, {votes: copy}, leave_out)


def _read_files(root: Path, instead: dict[Path, Path], leave_out: Path) -> Iterator[Entry]:
    beside = {Path(f"{path}{ending}") for path in instead for ending in _BESIDE_VOTES}
    for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
        if path.is_symlink():
            raise StudyError(
                f"{path}: is a link; an archive holds files; put the file itself there"
            )
        is_part = any(part.endswith(".part") for part in path.relative_to(root).parts)
        own = path.name == SUMS or path.resolve() == leave_out.resolve()
        if path.is_file() and not (is_part or own or path in beside):
            with instead.get(path, path).open("rb") as content:
                yield path.relative_to(root).as_posix(), content


def _put(file: zipfile.ZipFile, top: str, name: str, content: IO[bytes]) -> tuple[str, str]:
    """Write one entry; gives its name and SHA-256."""
    digest = hashlib.sha256()
    with file.open(_info(f"{top}/{name}"), "w", force_zip64=True) as target:
        while block := content.read(_BLOCK):
            digest.update(block)
            target.write(block)
    return name, digest.hexdigest()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    is_packed = name.lower().endswith((".png", ".jpg", ".webp", ".parquet", ".safetensors"))
    info.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
    return info


def import_study(source: Path, to: Path, now: str) -> list[Check]:
    """Put an archived study (.zip, .tar.gz, or a folder) at `to`, verified; gives the checks.

    It is unpacked beside `to`, its SHA256SUMS and every check of `verify` must hold, and it takes
    its place by one rename. Raises StudyError, with nothing left behind, where `to` exists, where
    an entry would lie elsewhere or is no plain file, or where the whole is beyond all measure.
    """
    if to.exists():
        raise StudyError(f"import: {to} exists already; give a folder that does not exist yet")
    part = to.parent / part_name()
    part.mkdir(parents=True)
    try:
        with _opened(source) as entries:
            _unpack(source, entries, part)
        root = _study_root(part, source)
        folder = open_study(root)
        _require_here(folder, "import")
        _require_sums(root, source)
        checks = verify(folder, now)
        try:
            require_whole(checks, f"import: {source}")
        except EvalkitError as error:  # it speaks of the place where it was unpacked
            raise EvalkitError(str(error).replace(str(root), str(to))) from None
        root.rename(to)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return checks


@contextmanager
def _opened(source: Path) -> Iterator[Iterator[Entry]]:
    """The entries of an archive or a folder; StudyError where it is neither."""
    if source.is_dir():
        folder = open_study(source)
        _require_here(folder, "import")
        with _entries(folder, source / SUMS) as entries:
            yield entries
        return
    try:
        if source.name.lower().endswith(".zip"):
            with zipfile.ZipFile(source) as file:
                yield _zipped(source, file)
        elif source.name.lower().endswith((".tar.gz", ".tgz")):
            with tarfile.open(source, "r:gz") as file:
                yield _tarred(source, file)
        else:
            raise StudyError(f"import: {source}: allowed are .zip, .tar.gz and a study folder")
    except FileNotFoundError:
        raise StudyError(f"import: {source}: no such file or folder; check the path") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise StudyError(
            f"import: {source}: is damaged or no archive ({error}); fetch it again"
        ) from None


def _zipped(source: Path, file: zipfile.ZipFile) -> Iterator[Entry]:
    entries = file.infolist()
    _require_measure(source, len(entries), sum(entry.file_size for entry in entries))
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.is_dir():
            continue
        if kind not in (0, stat.S_IFREG) or entry.flag_bits & 1:
            raise _refused(source, entry.filename, "is a link or another special or locked file")
        with file.open(entry) as content:
            yield entry.filename, content


def _tarred(source: Path, file: tarfile.TarFile) -> Iterator[Entry]:
    size = 0
    for n, entry in enumerate(file, start=1):
        size += entry.size
        _require_measure(source, n, size)
        if entry.isdir():
            continue
        content = file.extractfile(entry) if entry.isreg() else None
        if content is None:
            raise _refused(source, entry.name, "is a link or another special file")
        yield entry.name, content


def _require_measure(source: Path, files: int, size: int) -> None:
    """StudyError on an archive made to fill a disk."""
    free = shutil.disk_usage(source.parent).free
    most = min(_MOST_BYTES, max(_SMALL, _MOST_UNPACKED * source.stat().st_size), free)
    if files > _MOST_FILES or size > most:
        raise StudyError(
            f"import: {source}: unpacks to {files:,} files of {size / 2**30:,.1f} GiB; allowed "
            f"here are {_MOST_FILES:,} files of {most / 2**30:,.1f} GiB; unpack it by hand if you "
            "trust it, and import the folder"
        )


def _unpack(source: Path, entries: Iterator[Entry], part: Path) -> None:
    for name, content in entries:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
            raise _refused(source, name, "would lie outside the study's folder")
        target = part.joinpath(*path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("xb") as stream:
                shutil.copyfileobj(content, stream, _BLOCK)
        except FileExistsError:
            raise _refused(source, name, "stands twice") from None


def _refused(source: Path, name: str, why: str) -> StudyError:
    return StudyError(
        f'import: {source}: its entry "{name}" {why}; ask whoever made it for another'
    )


def _study_root(part: Path, source: Path) -> Path:
    """Where study.toml lies: at the top, or in the one folder there."""
    inside = list(part.iterdir())
    for root in (part, *inside):
        if (root / "study.toml").is_file() and (root == part or len(inside) == 1):
            return root
    raise StudyError(f"import: {source}: holds no study.toml at its top; give a study's archive")


def _require_sums(root: Path, source: Path) -> None:
    """EvalkitError where a file is missing, added or changed since the archive was written."""
    sums = root / SUMS
    if not sums.is_file():
        return
    rows = (line.split("  ", 1) for line in sums.read_text("utf-8").splitlines())
    wanted = {name: sha256 for sha256, name in rows}
    sums.unlink()  # it holds for the archive; the study goes on
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found or name not in wanted:
            what = "is missing" if name in wanted else "was added"
            raise EvalkitError(f"import: {source}: {name} {what} since it was archived")
        with found[name].open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != wanted[name]:
                raise EvalkitError(f"import: {source}: {name} has changed since it was archived")
