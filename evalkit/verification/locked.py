"""Checks of what was fixed before the votes: lock, study, prompts, images, public images."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evalkit.files import file_sha256
from evalkit.frozen import IMAGE_COLUMNS, PROMPT_COLUMNS, frozen_rows, rows_change, study_change
from evalkit.lock import (
    blinded_hashes,
    contradiction,
    lock_hash,
    missing_content,
    read_lock,
    require_unchanged,
    study_images,
)
from evalkit.store import store_exists
from evalkit.study_folder import StudyFolder
from evalkit.verification.check import NotYetError, WrongError

_READERS = 16  # threads: the images may lie on an object store


def _locked(folder: StudyFolder) -> dict[str, Any]:
    if not folder.lock_file.is_file():
        if store_exists(folder.store_address):
            raise WrongError("lock.json is missing, and there is a vote database")
        raise NotYetError("no lock yet; it is written when annotators are first invited")
    return read_lock(folder)


def _content(folder: StudyFolder, part: str) -> dict[str, Any] | None:
    """A content of the lock; None in a lock with hashes alone."""
    return _locked(folder).get(part)


def lock(folder: StudyFolder) -> str:
    """The lock is whole, and agrees with itself."""
    lock = _locked(folder)
    part = missing_content(lock)
    if part:
        raise WrongError(f"lock.json holds no {part}, which was taken out of it")
    part = contradiction(lock)
    if part:
        raise WrongError(f"what lock.json holds of {part} is not what its {part}_sha256 is of")
    return f"{lock_hash(folder)}, written {lock.get('locked_at')} by evalkit {lock.get('evalkit')}"


def study(folder: StudyFolder) -> str:
    """study.toml is as it was locked."""
    lock = _locked(folder)
    if folder.study.sha256 != lock.get("study_sha256"):
        then, now = lock.get("study", {}), json.loads(json.dumps(folder.study.fixed_content))
        raise WrongError(
            f"study.toml is not as it was locked: {study_change(then, now)}".rstrip(": ")
        )
    return f"study.toml is as it was locked ({folder.study.sha256[:12]})"


def prompts(folder: StudyFolder) -> str:
    """prompts.csv is as it was locked."""
    then, prompts = _content(folder, "prompts"), folder.read_prompts()
    _require_rows(folder, then, frozen_rows(prompts, PROMPT_COLUMNS), "prompt")
    return f"{len(prompts):,} as they were locked"


def image_table(folder: StudyFolder) -> str:
    """images.csv is as it was locked."""
    then, images = _content(folder, "images"), study_images(folder)
    _require_rows(folder, then, frozen_rows(images, IMAGE_COLUMNS), "image")
    return f"{len(images):,} rows of images.csv as they were locked"


def _require_rows(
    folder: StudyFolder, then: dict[str, Any] | None, now: dict[str, Any], noun: str
) -> None:
    if then is None:
        require_unchanged(folder)
    elif then != now:
        raise WrongError(f"{rows_change(then, now, noun)} since it was locked")


def image_files(folder: StudyFolder) -> str:
    """Each file against the lock, and against images.csv where the lock has no images."""
    if not folder.images_file.is_file():
        raise NotYetError(f"no images yet; run: evalkit generate {folder.root}")
    images = folder.read_images()
    images = images[images["status"] == "ok"]
    locked = (read_lock(folder) if folder.lock_file.is_file() else {}).get("images", {})
    wanted = {
        name: locked.get(image_id, {}).get("sha256", sha256)
        for image_id, name, sha256 in zip(
            images["image_id"], images["file_name"], images["sha256"], strict=True
        )
    }
    with ThreadPoolExecutor(_READERS) as threads:
        hashes = threads.map(lambda name: hash_of(folder.images / name), wanted)
    _require_files(wanted, dict(zip(wanted, hashes, strict=True)), "images/")
    return f"{len(wanted):,} files with the locked hashes"


def hash_of(file: Path) -> str | None:
    """The SHA-256 of the file; None where there is none."""
    try:
        return file_sha256(file)
    except (FileNotFoundError, IsADirectoryError):
        return None


def _require_files(wanted: dict[str, str], found: dict[str, str | None], where: str) -> None:
    wrong = [name for name in wanted if found.get(name) != wanted[name]]
    if not wrong:
        return
    first = wrong[0]
    what = "is another file than the locked one" if found.get(first) else "is missing"
    more = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
    raise WrongError(f"{where}{first} {what}{more}")


def public_images(folder: StudyFolder) -> str:
    """Each public image is the locked one, and there are no others."""
    wanted = _content(folder, "blinded")
    if wanted is None:
        raise NotYetError(
            "a lock with hashes alone does not hold them; evalkit check looks at them"
        )
    found = blinded_hashes(folder)
    _require_files(wanted, dict(found), "blinded/")
    added = found.keys() - wanted.keys()
    if added:
        raise WrongError(f"blinded/{min(added)} is not of the study")
    return f"{len(wanted):,} files with the locked hashes"
