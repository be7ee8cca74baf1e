"""lock.json: what stood fixed when the votes began, and whether it still stands."""

import hashlib
import json

import pandas as pd

from evalkit import __version__
from evalkit.errors import StudyError
from evalkit.files import write_json
from evalkit.store import Store, described, name_sha256, open_store, store_exists
from evalkit.study_folder import StudyFolder

_PROMPT_COLUMNS = ["prompt_id", "prompt", "category", "challenge", "input_sha256"]
_IMAGE_COLUMNS = ["image_id", "prompt_id", "model", "seed", "sha256", "status"]

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
    """Write down the study, its prompts and its images as they are at `now`."""
    content = {**_state(folder), "evalkit": __version__, "locked_at": now}
    write_json(folder.lock_file, content)


def lock_hash(folder: StudyFolder) -> str:
    """What names a study as it was locked: 12 hex digits; "" where no lock is written yet.

    The first of the SHA-256 of lock.json's content, whatever its layout in the file. StudyError
    where the file cannot be read.
    """
    if not folder.lock_file.is_file():
        return ""
    content = json.dumps(_read(folder), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:_SHORT]


def is_unchanged(folder: StudyFolder) -> bool:
    """Whether the study is as it was locked; False without a lock, or with tables missing."""
    files = (folder.lock_file, folder.prompts_file, folder.images_file)
    return all(file.is_file() for file in files) and _first_change(folder, _state(folder)) is None


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
    _refuse_change(folder, _state(folder))


def require_same_plan(folder: StudyFolder, prompts: pd.DataFrame) -> None:
    """StudyError where the study, or these prompts drawn from its source, are not as locked."""
    _refuse_change(folder, _planned(folder, prompts))


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
    images = _hash(study_images(folder), _IMAGE_COLUMNS)
    return {**_planned(folder, folder.read_prompts()), "images_sha256": images}


def _planned(folder: StudyFolder, prompts: pd.DataFrame) -> dict[str, str]:
    return {
        "study_sha256": folder.study.sha256,
        "prompts_sha256": _hash(prompts, _PROMPT_COLUMNS),
    }


def _hash(frame: pd.DataFrame, columns: list[str]) -> str:
    """Of these columns; the order of the rows, which are named by the first, does not count."""
    columns = [name for name in columns if name in frame.columns]  # input images are optional
    rows = frame[columns].sort_values(columns[0]).to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(rows.encode()).hexdigest()


def _refuse_change(folder: StudyFolder, state: dict[str, str]) -> None:
    changed = _first_change(folder, state)
    if changed is None:
        return
    what, undo = _PARTS[changed]
    raise StudyError(
        f"{folder.root}: {what} changed since {_read(folder).get('locked_at')}; a study is fixed "
        f"before its votes; {undo}, or make a new study"
    )


def _first_change(folder: StudyFolder, state: dict[str, str]) -> str | None:
    """The first key that differs: the images' ids follow from the study and the prompts."""
    lock = _read(folder)
    return next((key for key in state if lock.get(key) != state[key]), None)


def _read(folder: StudyFolder) -> dict[str, str]:
    try:
        return dict(json.loads(folder.lock_file.read_text("utf-8")))
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
