"""A study folder -> what annotators can be shown: pairs, checks, public images, store, lock."""

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pandas as pd

from evalkit import tables
from evalkit.blinding import Treatment, blind_pairs, public_png, shown_images
from evalkit.design import plan_checks, plan_pairs
from evalkit.errors import StudyError
from evalkit.files import file_sha256, write_bytes
from evalkit.lock import (
    has_votes,
    is_same_study,
    is_unchanged,
    open_votes,
    require_same_study,
    require_unchanged,
    study_images,
    write_lock,
)
from evalkit.progress import Progress, no_progress
from evalkit.store import Store, create_store, store_exists
from evalkit.store.upgrade import Upgrade, upgrade_store
from evalkit.study_folder import StudyFolder
from evalkit.tables import PROLIFIC_IDS, SIMULATED

_TOKEN_BYTES = 16
# What Prolific fills in, as its settings show it.
_PROLIFIC = "&".join(f"{name}={{{{%{name}%}}}}" for name in PROLIFIC_IDS)
_READERS = 16  # threads: the images may lie on an object store


def open_collection(folder: StudyFolder, now: str, progress: Progress = no_progress) -> Store:
    """The study's vote database; on the first call pairs, checks, public images and it are made.

    The lock holds the study, its prompts and its images as they stand then. When they have changed
    since, or the database is that of another form of the study, all is made anew (annotators stay
    invited and must consent anew), but only while there is no vote. `progress` gets (public images
    made, of them in all, "blinding"). Raises StudyError where images are missing or are not the
    listed ones, no pair can be shown, or votes forbid the change.
    """
    if has_votes(folder):
        require_unchanged(folder)
    elif not _is_made(folder):
        _make_collection(folder, progress)
        write_lock(folder, now)
    store = open_votes(folder)
    try:
        require_same_study(folder, store)
        if store.entry() != folder.study.entry:
            store.set_entry(folder.study.entry)
    except BaseException:
        store.close()
        raise
    return store


def open_for_people(folder: StudyFolder, now: str, progress: Progress = no_progress) -> Store:
    """`open_collection` of a study that asks people; StudyError where its votes are simulated."""
    store = open_collection(folder, now, progress)
    if store.has_simulated():
        store.close()
        raise StudyError(
            f"{folder.root}: holds {SIMULATED}, and no person may vote beside them; ask people in "
            "a copy of the study without its vote database, lock.json and simulation.json"
        )
    return store


def _is_made(folder: StudyFolder) -> bool:
    """Whether all that annotators are shown was made, to the end, from the study as it is now."""
    if not (store_exists(folder.store_address) and is_unchanged(folder)):
        return False
    with closing(open_votes(folder)) as store:
        return is_same_study(folder, store)


def invite(
    folder: StudyFolder, n: int, now: str, url: str, progress: Progress = no_progress
) -> list[str]:
    """Links for `n` new annotators, `URL/?token=...`; only a hash of each token is kept."""
    _require_web_address(url)
    store = open_for_people(folder, now, progress)
    links = []
    for _ in range(n):
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        store.add_annotator(secrets.token_hex(8), token, now)
        links.append(f"{url.rstrip('/')}/?token={token}")
    return links


def open_link(folder: StudyFolder, now: str, url: str, progress: Progress = no_progress) -> str:
    """The one link for all: the address to give to Prolific, or the study's open link.

    Of an open link's code only a hash is kept, so each call makes a new one, and closes the one
    before. Raises StudyError where the study has personal links only.
    """
    _require_web_address(url)
    kind = folder.study.entry.kind
    if kind == "personal":
        raise StudyError(
            f'{folder.root / "study.toml"}: entry.kind = "personal", so there is no link for all; '
            'write kind = "open" or kind = "prolific" there, or invite without --open'
        )
    store = open_for_people(folder, now, progress)
    if kind == "prolific":
        return f"{url.rstrip('/')}/?{_PROLIFIC}"
    code = secrets.token_urlsafe(_TOKEN_BYTES)
    store.set_open_code(code)
    return f"{url.rstrip('/')}/?open={code}"


def _require_web_address(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise StudyError(
            f'invite: --url "{url}"; allowed is an address that begins with http:// or https://; '
            "give the one under which annotators reach this machine"
        )


def upgrade_votes(folder: StudyFolder, now: str) -> Upgrade:
    """Bring a vote database of an older evalkit to the schema of this one; every vote stays.

    StoreError where a server's database is another study's.
    """
    has_checks = folder.checks_file.is_file()
    checks = tables.read(folder.checks_file, tables.CHECKS) if has_checks else tables.CHECKS.empty()
    return upgrade_store(folder.store_address, folder.study, checks, now)


def _make_collection(folder: StudyFolder, progress: Progress) -> None:
    study, prompts, images = folder.study, folder.read_prompts(), _complete_images(folder)
    pairs = plan_pairs(images, study)
    if pairs.empty:
        bad = int((images["status"] != "ok").sum())
        raise StudyError(
            f"{folder.root}: no two models have an image of the same prompt and seed ({bad} of "
            f"{len(images)} images failed or were filtered); see images.csv"
        )
    checks = plan_checks(images, prompts, study)
    names = {shown: f"{secrets.token_hex(16)}.png" for shown in shown_images(pairs, checks)}
    blinded = blind_pairs(pairs, checks, prompts, names, study.seed)
    folder.lock_file.unlink(missing_ok=True)  # what a stop leaves half made is locked by nothing
    _write_public_images(folder, images, names, progress)
    _store_plan(folder, blinded)
    tables.write(pairs, folder.pairs_file, tables.PAIRS)
    tables.write(checks, folder.checks_file, tables.CHECKS)
    for path in folder.blinded.iterdir():
        if path.name not in set(names.values()):
            path.unlink()


def _complete_images(folder: StudyFolder) -> pd.DataFrame:
    """The study's images; StudyError where some are not made, or a file is not the listed one."""
    images = study_images(folder)
    ok = images[images["status"] == "ok"]
    files = [folder.images / name for name in ok["file_name"]]
    wanted = len(folder.study.wanted_images(folder.read_prompts()))
    with ThreadPoolExecutor(_READERS) as threads:
        hashes = list(threads.map(_hash_of, files))
    missing = wanted - len(images) + hashes.count(None)
    if missing:
        raise StudyError(
            f"{folder.root}: {missing} of {wanted} images are missing; a study needs all of "
            f"them before the first vote; run: evalkit generate {folder.root}"
        )
    for file, found, sha256 in zip(files, hashes, ok["sha256"], strict=True):
        if found != sha256:
            raise StudyError(
                f"{file}: is not the image that images.csv lists (another sha256); put that back, "
                f"or make it again with: evalkit generate {folder.root}"
            )
    return images


def _hash_of(file: Path) -> str | None:
    """The SHA-256 of the file; None where there is none."""
    try:
        return file_sha256(file)
    except (FileNotFoundError, IsADirectoryError):
        return None


def _store_plan(folder: StudyFolder, blinded: pd.DataFrame) -> None:
    if not store_exists(folder.store_address):
        create_store(folder.store_address, folder.study, blinded).close()
        return
    store = open_votes(folder)
    try:
        store.replace_plan(folder.study, blinded)
    finally:
        store.close()


def _write_public_images(
    folder: StudyFolder,
    images: pd.DataFrame,
    names: dict[tuple[str, Treatment], str],
    progress: Progress,
) -> None:
    files = dict(zip(images["image_id"], images["file_name"], strict=True))
    # In the order of the random names and with one time: neither tells which model is whose.
    ordered = sorted(names.items(), key=lambda item: item[1])
    for done, ((image_id, treatment), name) in enumerate(ordered, start=1):
        source = folder.images / files[image_id]
        public: Path = folder.blinded / name
        write_bytes(public, public_png(source, folder.study.images.viewing_size, treatment))
        os.utime(public, (0, 0))
        progress(done, len(ordered), "blinding")
