"""A study folder as one file and back: nothing is put in place before it is verified."""

import hashlib
import json
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from evalkit.archive_entries import Entry, archive_entries, unpack
from evalkit.errors import EvalkitError, StudyError
from evalkit.files import is_part_name, part_name
from evalkit.monitoring import VoteKey, on_the_way
from evalkit.store import described, open_store
from evalkit.store.snapshot import snapshot
from evalkit.study_folder import StudyFolder, open_study
from evalkit.verification import Check, require_whole, verify

SUMS = "SHA256SUMS"  # in the form of sha256sum, which can check an archive without evalkit
_TIME = (1980, 1, 1, 0, 0, 0)  # of every entry: the same files give the same archive
_BESIDE_VOTES = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database
_SUM = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>.+)")
_BLOCK = 2**20


def archive_study(folder: StudyFolder, to: Path, now: str) -> int:
    """Write the whole study, with its votes as of one moment, into a .zip; gives the files in it.

    Beside them SHA256SUMS. The journals are without the votes that are on their way at `now`, since
    these are not among its votes. Raises StudyError where the file exists, where votes or images
    lie elsewhere, and on links.
    """
    if to.suffix.lower() != ".zip":
        raise StudyError(f"archive: --to {to}: must end in .zip; rename it")
    if to.exists():
        raise StudyError(f"archive: {to} exists already; give a new name")
    _require_here(folder, "archive")
    part = to.parent / part_name()
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            zipfile.ZipFile(part, "x", allowZip64=True) as file,
            _entries(folder, to, now) as entries,
        ):
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
def _entries(folder: StudyFolder, leave_out: Path, now: str) -> Iterator[Iterator[Entry]]:
    """The files of a study in the order of their names, votes and journals as of one moment.

    The votes come first, since each is in a journal before it is in the database; a journal that
    was begun since then is left out.
    """
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "votes.sqlite"
        votes = Path(folder.store_address)
        instead = {}
        if votes.is_file():
            snapshot(votes, copy)
            instead = {votes: copy, **_journals(folder, copy, now)}
        yield _read_files(folder, instead, leave_out)


def _journals(folder: StudyFolder, votes: Path, now: str) -> dict[Path, Path]:
    """Copies beside `votes` of the journals, without the votes that were on their way to it."""
    copies = {file: votes.parent / file.name for file in sorted(folder.received.glob("*.jsonl"))}
    for file, copy in copies.items():
        shutil.copyfile(file, copy)
    with closing(open_store(votes)) as store:
        late = on_the_way(store, votes.parent, now)
    for copy in copies.values():
        lines = copy.read_bytes().splitlines(keepends=True)
        copy.write_bytes(b"".join(line for line in lines if _vote_of(line) not in late))
    return copies


def _vote_of(line: bytes) -> VoteKey | None:
    """Which vote arrived, by a line of a journal; None where it was refused or the line is cut."""
    try:
        row = json.loads(line)
        return None if row.get("refused") else (row["trial_id"], row["revision"])
    except (ValueError, KeyError, AttributeError):
        return None


def _read_files(folder: StudyFolder, instead: dict[Path, Path], leave_out: Path) -> Iterator[Entry]:
    root, sums = folder.root, folder.root / SUMS
    beside = {Path(f"{folder.store_address}{ending}") for ending in _BESIDE_VOTES}
    for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
        if path.is_symlink():
            raise StudyError(
                f"{path}: is a link; an archive holds files; put the file itself there"
            )
        is_part = any(is_part_name(part) for part in path.relative_to(root).parts)
        own = path == sums or path.resolve() == leave_out.resolve()
        begun = instead and path not in instead and path.match(f"{folder.received.name}/*.jsonl")
        if path.is_file() and not (is_part or own or begun or path in beside):
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
        with _opened(source, part, now) as entries:
            unpack(source, entries, part)
        root = _study_root(part, source)
        checks = _verified(root, source, to, now)
        root.rename(to)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return checks


def _verified(root: Path, source: Path, to: Path, now: str) -> list[Check]:
    """The checks of the study unpacked at `root`, which speak of it as of `to`, its place."""
    try:
        folder = open_study(root)
        _require_here(folder, "import")
        _require_sums(root, source)
        checks = verify(folder, now)
        require_whole(checks, f"import: {source}")
    except EvalkitError as error:
        raise type(error)(str(error).replace(str(root), str(to))) from None
    return [replace(check, found=check.found.replace(str(root), str(to))) for check in checks]


@contextmanager
def _opened(source: Path, part: Path, now: str) -> Iterator[Iterator[Entry]]:
    """The entries of an archive or a folder; StudyError where it is neither."""
    if source.is_dir():
        folder = open_study(source)
        _require_here(folder, "import")
        with _entries(folder, source / SUMS, now) as entries:
            yield entries
    else:
        with archive_entries(source, part) as entries:
            yield entries


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
    wanted = _read_sums(sums, source)
    sums.unlink()  # it holds for the archive; the study goes on
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found or name not in wanted:
            what = "is missing" if name in wanted else "was added"
            raise EvalkitError(f"import: {source}: {name} {what} since it was archived")
        with found[name].open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != wanted[name]:
                raise EvalkitError(f"import: {source}: {name} has changed since it was archived")


def _read_sums(sums: Path, source: Path) -> dict[str, str]:
    """The SHA-256 of each file by its name; StudyError where a line is not as sha256sum has it."""
    lines = sums.read_text("utf-8", errors="replace").split("\n")
    found = [_SUM.fullmatch(line) for line in lines if line]
    if None in found:
        raise StudyError(
            f"import: {source}: {SUMS}: line {found.index(None) + 1} is no SHA-256, two spaces and "
            "a file's name; fetch the archive again"
        )
    return {line["name"]: line["sha256"] for line in found}
