"""lock.json: what stood fixed when the votes began, and whether it still stands."""

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from evalkit import __version__
from evalkit.errors import StudyError
from evalkit.files import file_sha256, write_json
from evalkit.frozen import (
    IMAGE_COLUMNS,
    PROMPT_COLUMNS,
    frozen_rows,
    rows_change,
    rows_frame,
    study_change,
)
from evalkit.store import Store, described, name_sha256, open_store, store_exists
from evalkit.study import content_sha256
from evalkit.study_folder import StudyFolder

_LIBRARIES = (  # what decides images, shown pictures, votes and numbers
    "diffusers", "numpy", "pandas", "pillow", "scipy", "sqlalchemy", "streamlit", "torch",
    "transformers",
)  # fmt: skip
_CONTENTS = ("study", "prompts", "images", "blinded")  # of the lock; the rest is short

_SHORT = 12  # hex digits of the hash that outputs are named with: 48 bits tell locks apart

_PARTS = {  # key of the lock: what has changed, how it is undone
    "study_sha256": ("study.toml has", "undo the change in study.toml"),
    "prompts_sha256": (
        "the prompts have",
        "undo the change in prompts.csv or in the source that study.toml names",
    ),
    "images_sha256": (
        "the images have",
        "put images.csv back, or run evalkit generate, which writes it again from the records",
    ),
}


def write_lock(folder: StudyFolder, now: str) -> None:
    """Write down the study, its prompts, images and public images as they are at `now`.

    With the versions of evalkit, Python and the libraries that images and numbers rest on. The
    hashes say whether something has changed; the contents, what.
    """
    previous = folder.study.previous
    content = {
        **_state(folder),
        "evalkit": __version__,
        "python": platform.python_version(),
        "libraries": _versions(),
        "locked_at": now,
        **({"previous": previous.model_dump()} if previous else {}),
        "study": folder.study.fixed_content,
        "prompts": frozen_rows(folder.read_prompts(), PROMPT_COLUMNS),
        "images": frozen_rows(study_images(folder), IMAGE_COLUMNS),
        "blinded": blinded_hashes(folder),
    }
    write_json(folder.lock_file, content)


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a package that only some studies need
            continue
    return found


def blinded_hashes(folder: StudyFolder) -> dict[str, str]:
    """The SHA-256 of each public image, by its file name."""
    if not folder.blinded.is_dir():
        return {}
    return {path.name: file_sha256(path) for path in sorted(folder.blinded.glob("*.png"))}


def lock_facts(folder: StudyFolder) -> dict[str, Any]:
    """What a reader is told of the lock: its hash and all it holds but the long contents."""
    if not folder.lock_file.is_file():
        return {}
    facts = {key: value for key, value in read_lock(folder).items() if key not in _CONTENTS}
    return {"lock": lock_hash(folder), **facts}


def contradiction(lock: dict[str, Any]) -> str:
    """What in a lock does not fit the hash of it there; "" where all does, and without contents."""
    hashed = {"study": content_sha256, "prompts": _prompts_sha256, "images": _images_sha256}
    return next(
        (part for part in hashed if part in lock and hashed[part](lock[part]) != lock[_key(part)]),
        "",
    )


def missing_content(lock: dict[str, Any]) -> str:
    """The first content that a lock lacks; "" where it has all, or is one with hashes alone.

    Such a lock is older than the contents, and so than the versions that came with them.
    """
    missing = [part for part in _CONTENTS if part not in lock]
    is_older = len(missing) == len(_CONTENTS) and not {"python", "libraries"} & lock.keys()
    return "" if is_older or not missing else missing[0]


def has_contents(lock: dict[str, Any]) -> bool:
    """Whether the lock says what its hashes are of."""
    return any(part in lock for part in _CONTENTS)


def _key(part: str) -> str:
    return f"{part}_sha256"


def _prompts_sha256(rows: dict[str, Any]) -> str:
    return _hash(rows_frame(rows, PROMPT_COLUMNS[0]), PROMPT_COLUMNS)


def _images_sha256(rows: dict[str, Any]) -> str:
    return _hash(rows_frame(rows, IMAGE_COLUMNS[0]), IMAGE_COLUMNS)


def lock_hash(folder: StudyFolder) -> str:
    """What names a study as it was locked: 12 hex digits; "" where no lock is written yet.

    The first of the SHA-256 of lock.json's content, whatever its layout in the file. StudyError
    where the file cannot be read.
    """
    if not folder.lock_file.is_file():
        return ""
    content = json.dumps(read_lock(folder), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:_SHORT]


def is_unchanged(folder: StudyFolder) -> bool:
    """Whether the study is as it was locked; False without a lock, or with tables missing."""
    files = (folder.lock_file, folder.prompts_file, folder.images_file)
    return all(file.is_file() for file in files) and _changed_part(folder, _state(folder)) is None


def require_unchanged(folder: StudyFolder) -> None:
    """StudyError where the study, its prompts or its images are not as they were locked.

    Whoever adds, shows or counts votes calls this first. The image files are not looked at: votes
    rest on the public images, which were made from them once.
    """
    if not folder.lock_file.is_file() and not store_exists(folder.store_address):
        raise StudyError(
            f"{folder.root}: no votes yet; invite annotators with: evalkit invite {folder.root}, "
            f"and collect votes with: evalkit serve {folder.root}"
        )
    change = first_change(folder)
    if change:
        raise StudyError(_refusal(folder, change))


def require_same_plan(folder: StudyFolder, prompts: pd.DataFrame) -> None:
    """StudyError where the study, or these prompts drawn from its source, are not as locked."""
    changed = _changed_part(folder, _planned(folder, prompts))
    if changed:
        raise StudyError(_refusal(folder, _described(folder, changed, prompts)))


def has_votes(folder: StudyFolder) -> bool:
    """Whether there is a vote; from the first on, study, prompts and images may not change.

    Raises StudyError where the vote database that the lock was written with is gone.
    """
    address = folder.store_address
    if not store_exists(address):
        if folder.lock_file.is_file():
            name = described(address) if isinstance(address, str) else address.name
            raise StudyError(
                f"{folder.root}: lock.json is there, and {name} with the votes is not; put it "
                "back (or its name in study.toml), or remove lock.json to begin anew"
            )
        return False
    store = open_votes(folder)
    try:
        return store.has_votes()
    finally:
        store.close()


def open_votes(folder: StudyFolder) -> Store:
    """The study's vote database; StoreError where there is none.

    StudyError where the database on a server is another study's. A file needs no such look: it
    lies in the study's own folder.
    """
    store = open_store(folder.store_address)
    if isinstance(folder.store_address, str):
        try:
            _require_own(folder, store)
        except BaseException:
            store.close()
            raise
    return store


def require_same_study(folder: StudyFolder, store: Store) -> None:
    """StudyError where the votes in the database were given for another form of the study.

    The lock can hold and the database be another one: an older copy of either was put back.
    """
    if not is_same_study(folder, store):
        name = described(folder.store_address)
        raise StudyError(
            f"{name}: holds votes that were given for another form of study.toml than the one that "
            f"lock.json holds; put the database back that belongs to {folder.root}, or make a new "
            "study"
        )


def is_same_study(folder: StudyFolder, store: Store) -> bool:
    """Whether the database was made from the study as study.toml has it now."""
    return store.study().study_sha256 == folder.study.sha256


def _require_own(folder: StudyFolder, store: Store) -> None:
    if store.study().name_sha256 != name_sha256(folder.study):
        raise StudyError(
            f"{described(folder.store_address)}: is the vote database of another study; give "
            f'"{folder.study.name}" a database of its own'
        )


def study_images(folder: StudyFolder) -> pd.DataFrame:
    """The rows of images.csv that are images of the study as study.toml stands now."""
    images = folder.read_images()
    wanted = folder.study.wanted_images(folder.read_prompts())
    return images[images["image_id"].isin(wanted["image_id"])].reset_index(drop=True)


def _state(folder: StudyFolder) -> dict[str, str]:
    images = _hash(study_images(folder), IMAGE_COLUMNS)
    return {**_planned(folder, folder.read_prompts()), "images_sha256": images}


def _planned(folder: StudyFolder, prompts: pd.DataFrame) -> dict[str, str]:
    return {
        "study_sha256": folder.study.sha256,
        "prompts_sha256": _hash(prompts, PROMPT_COLUMNS),
    }


def _hash(frame: pd.DataFrame, columns: list[str]) -> str:
    """Of these columns; the order of the rows, which are named by the first, does not count."""
    columns = [name for name in columns if name in frame.columns]  # input images are optional
    rows = frame[columns].sort_values(columns[0]).to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(rows.encode()).hexdigest()


def first_change(folder: StudyFolder) -> str:
    """The first thing that is not as it was locked, both values, and what undoes it; "" for none.

    Of a lock with hashes alone it says which of study, prompts and images has
    changed.
    """
    changed = _changed_part(folder, _state(folder))
    return _described(folder, changed, folder.read_prompts()) if changed else ""


def _refusal(folder: StudyFolder, change: str) -> str:
    return (
        f"{folder.root}: {change}, or make a new study of it with: evalkit init NEW "
        f"--new-version {folder.root}"
    )


def _described(folder: StudyFolder, changed: str, prompts: pd.DataFrame) -> str:
    lock = read_lock(folder)
    what, undo = _PARTS[changed]
    named = _named_change(folder, lock, changed.removesuffix("_sha256"), prompts)
    said = f"{what} changed since {lock.get('locked_at')}" + (f": {named}" if named else "")
    return f"{said}; a study is fixed before its votes; {undo}"


def _named_change(
    folder: StudyFolder, lock: dict[str, Any], part: str, prompts: pd.DataFrame
) -> str:
    if part not in lock:
        return ""
    if part == "study":
        return study_change(lock[part], json.loads(json.dumps(folder.study.fixed_content)))
    if part == "prompts":
        return rows_change(lock[part], frozen_rows(prompts, PROMPT_COLUMNS), "prompt")
    return rows_change(lock[part], frozen_rows(study_images(folder), IMAGE_COLUMNS), "image")


def _changed_part(folder: StudyFolder, state: dict[str, str]) -> str | None:
    """The first key that differs: the images' ids follow from the study and the prompts."""
    lock = read_lock(folder)
    return next((key for key in state if lock.get(key) != state[key]), None)


def read_lock(folder: StudyFolder) -> dict[str, Any]:
    """What lock.json holds; StudyError where it is missing or cannot be read."""
    try:
        lock = dict(json.loads(folder.lock_file.read_text("utf-8")))
    except FileNotFoundError:
        raise StudyError(
            f"{folder.root}: lock.json is missing, which holds the study as it was before the "
            "votes; restore lock.json, or make a new study"
        ) from None
    except (ValueError, TypeError):
        raise StudyError(
            f"{folder.lock_file}: not readable as JSON; restore it, or remove it if there is no "
            "vote yet"
        ) from None
    if not _has_shape(lock):
        raise StudyError(
            f"{folder.lock_file}: is not as evalkit writes it; restore it, or remove it if there "
            "is no vote yet"
        )
    return lock


def _has_shape(lock: dict[str, Any]) -> bool:
    """Whether the hashes are there, and the contents, if there, are tables of rows."""
    if not all(_key(part) in lock for part in ("study", "prompts", "images")):
        return False
    contents = [lock.get(part, {}) for part in _CONTENTS]
    if not all(isinstance(content, dict) for content in contents):
        return False
    rows = [row for part in ("prompts", "images") for row in lock.get(part, {}).values()]
    return all(isinstance(row, dict) for row in rows)
