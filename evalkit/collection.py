"""A study folder -> what annotators can be shown: pairs, checks, public images, store, lock."""

import json
import os
import secrets
from pathlib import Path

import pandas as pd

from evalkit import __version__, tables
from evalkit.blinding import Treatment, blind_pairs, public_png, shown_images
from evalkit.design import plan_checks, plan_pairs, short_hash
from evalkit.errors import StudyError
from evalkit.files import write_bytes, write_json
from evalkit.store import Store, create_store, open_store
from evalkit.study_folder import StudyFolder

_TOKEN_BYTES = 16


def open_collection(folder: StudyFolder, now: str) -> Store:
    """The study's vote database; on the first call pairs, checks, public images and it are made.

    A lock holds the study and its images as they stand then. When they have changed since, all is
    made anew (annotators stay invited and must consent anew), but only while there is no vote.
    Raises StudyError where images are missing, no pair can be shown, or votes forbid the change.
    """
    images = _study_images(folder)
    state = {"study_sha256": folder.study.sha256, "images_sha256": _images_sha256(images)}
    lock = _read_lock(folder)
    store = open_store(folder.store_file) if folder.store_file.is_file() else None
    if store is not None:
        if lock is not None and {key: lock.get(key) for key in state} == state:
            return store
        _refuse_after_votes(folder, store, lock, state)
    store = _make_collection(folder, images, store)
    write_json(folder.lock_file, {**state, "evalkit": __version__, "locked_at": now})
    return store


def invite(folder: StudyFolder, n: int, now: str, url: str) -> list[str]:
    """Links for `n` new annotators, `URL/?token=...`; only a hash of each token is kept."""
    store = open_collection(folder, now)
    links = []
    for _ in range(n):
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        store.add_annotator(secrets.token_hex(8), token, now)
        links.append(f"{url.rstrip('/')}/?token={token}")
    return links


def _study_images(folder: StudyFolder) -> pd.DataFrame:
    """The rows of the images that the study file asks for; StudyError where some are not made."""
    images, prompts = folder.read_images(), folder.read_prompts()
    wanted = {
        model.image_id(prompt, seed)
        for model in folder.study.models
        for prompt in prompts["prompt"]
        for seed in folder.study.images.seeds
    }
    found = images[images["image_id"].isin(wanted)].reset_index(drop=True)
    files = [folder.images / name for name in found.loc[found["status"] == "ok", "file_name"]]
    missing = len(wanted) - len(found) + sum(not path.is_file() for path in files)
    if missing:
        raise StudyError(
            f"{folder.root}: {missing} of {len(wanted)} images are missing; a study needs all of "
            f"them before the first vote; run: evalkit generate {folder.root}"
        )
    return found


def _images_sha256(images: pd.DataFrame) -> str:
    ordered = images.sort_values("image_id")[["image_id", "sha256", "status"]]
    return short_hash(ordered.to_csv(index=False))


def _read_lock(folder: StudyFolder) -> dict | None:
    if not folder.lock_file.is_file():
        return None
    try:
        return json.loads(folder.lock_file.read_text("utf-8"))
    except ValueError:
        raise StudyError(
            f"{folder.lock_file}: not readable as JSON; restore it, or remove it if there is no "
            "vote yet"
        ) from None


def _refuse_after_votes(folder: StudyFolder, store: Store, lock: dict | None, state: dict) -> None:
    if store.votes().empty:
        return
    if lock is None:
        raise StudyError(
            f"{folder.root}: lock.json is missing, and there are votes; a study is fixed before "
            "its votes; restore lock.json, or make a new study"
        )
    same_study = lock.get("study_sha256") == state["study_sha256"]
    changed = "images have" if same_study else "study.toml has"
    raise StudyError(
        f"{folder.root}: {changed} changed since {lock.get('locked_at')}, and there are votes; "
        "a study is fixed before its votes; undo the change, or make a new study"
    )


def _make_collection(folder: StudyFolder, images: pd.DataFrame, store: Store | None) -> Store:
    study, prompts = folder.study, folder.read_prompts()
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
    _write_public_images(folder, images, names)
    if store is None:
        store = create_store(folder.store_file, study, blinded)
    else:
        store.replace_plan(study, blinded)
    tables.write(pairs, folder.pairs_file, tables.PAIRS)
    tables.write(checks, folder.checks_file, tables.CHECKS)
    for path in folder.blinded.iterdir():
        if path.name not in set(names.values()):
            path.unlink()
    return store


def _write_public_images(
    folder: StudyFolder, images: pd.DataFrame, names: dict[tuple[str, Treatment], str]
) -> None:
    files = dict(zip(images["image_id"], images["file_name"], strict=True))
    # In the order of the random names and with one time: neither tells which model is whose.
    for (image_id, treatment), name in sorted(names.items(), key=lambda item: item[1]):
        source = folder.images / files[image_id]
        public: Path = folder.blinded / name
        write_bytes(public, public_png(source, folder.study.images.viewing_size, treatment))
        os.utime(public, (0, 0))
