"""verify: images, prompts, study, votes, analysis and report, each held against the lock."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from evalkit import tables
from evalkit.errors import EvalkitError
from evalkit.files import file_sha256
from evalkit.frozen import IMAGE_COLUMNS, PROMPT_COLUMNS, frozen_rows, rows_change, study_change
from evalkit.lock import (
    blinded_hashes,
    contradiction,
    lock_hash,
    open_votes,
    read_lock,
    require_same_study,
    require_unchanged,
    study_images,
)
from evalkit.monitoring import reception
from evalkit.result_tables.judged import judged_votes
from evalkit.store import described, store_exists
from evalkit.store.soundness import unsoundness
from evalkit.study_folder import StudyFolder

_READERS = 16  # threads: the images may lie on an object store
_COMPARED = (
    "annotator_id", "question_id", "prompt_id", "model_a", "model_b", "winner", "left_model",
    "kind", "response_ms", "created_at",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One thing that was held against the lock: what was found, in one line."""

    name: str
    state: Literal["ok", "FAILED", "not yet"]
    found: str

    @property
    def line(self) -> str:
        """As it stands on the terminal."""
        return f"{self.state:<7}  {self.name}: {self.found}"


class _WrongError(EvalkitError):
    """What a check found that must not be."""


class _NotYetError(EvalkitError):
    """What a check needs and is not there yet."""


def verify(folder: StudyFolder, now: str) -> list[Check]:
    """Every check of a study, in the order in which one thing follows from another.

    A thing that is not there yet is said, and no failure. `now` is for votes that are on their way.
    """
    checks: list[tuple[str, Callable[[StudyFolder], str]]] = [
        ("lock", _lock),
        ("study", _study),
        ("prompts", _prompts),
        ("image table", _image_table),
        ("image files", _image_files),
        ("public images", _public_images),
        ("vote database", _vote_database),
        ("received votes", partial(_received, now=now)),
        ("analysis", _analysis),
        ("report", _report),
    ]
    return [_checked(name, check, folder) for name, check in checks]


def require_whole(checks: Iterable[Check], what: str) -> None:
    """EvalkitError with the first check that failed."""
    failed = [check for check in checks if check.state == "FAILED"]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise EvalkitError(
            f"{what}: {failed[0].name}: {failed[0].found}{more}; put back what was changed from a "
            "copy"
        )


def _checked(name: str, check: Callable[[StudyFolder], str], folder: StudyFolder) -> Check:
    try:
        return Check(name, "ok", check(folder))
    except _NotYetError as error:
        return Check(name, "not yet", str(error))
    except EvalkitError as error:  # a file that cannot be read is a finding too
        return Check(name, "FAILED", str(error))
    except OSError as error:
        return Check(name, "FAILED", f"{error.filename}: {error.strerror}")


def _locked(folder: StudyFolder) -> dict[str, Any]:
    if not folder.lock_file.is_file():
        if store_exists(folder.store_address):
            raise _WrongError("lock.json is missing, and there is a vote database")
        raise _NotYetError("no lock yet; it is written when annotators are first invited")
    return read_lock(folder)


def _content(folder: StudyFolder, part: str) -> dict[str, Any] | None:
    """A content of the lock; None in a lock of evalkit 0.1.0, which has hashes alone."""
    return _locked(folder).get(part)


def _lock(folder: StudyFolder) -> str:
    lock = _locked(folder)
    part = contradiction(lock)
    if part:
        raise _WrongError(f"what lock.json holds of {part} is not what its {part}_sha256 is of")
    return f"{lock_hash(folder)}, written {lock.get('locked_at')} by evalkit {lock.get('evalkit')}"


def _study(folder: StudyFolder) -> str:
    lock = _locked(folder)
    if folder.study.sha256 != lock.get("study_sha256"):
        then, now = lock.get("study", {}), json.loads(json.dumps(folder.study.fixed_content))
        raise _WrongError(
            f"study.toml is not as it was locked: {study_change(then, now)}".rstrip(": ")
        )
    return f"study.toml is as it was locked ({folder.study.sha256[:12]})"


def _prompts(folder: StudyFolder) -> str:
    then, prompts = _content(folder, "prompts"), folder.read_prompts()
    _require_rows(folder, then, frozen_rows(prompts, PROMPT_COLUMNS), "prompt")
    return f"{len(prompts):,} as they were locked"


def _image_table(folder: StudyFolder) -> str:
    then, images = _content(folder, "images"), study_images(folder)
    _require_rows(folder, then, frozen_rows(images, IMAGE_COLUMNS), "image")
    return f"{len(images):,} rows of images.csv as they were locked"


def _require_rows(
    folder: StudyFolder, then: dict[str, Any] | None, now: dict[str, Any], noun: str
) -> None:
    if then is None:
        require_unchanged(folder)
    elif then != now:
        raise _WrongError(f"{rows_change(then, now, noun)} since it was locked")


def _image_files(folder: StudyFolder) -> str:
    """Each file against the lock, and against images.csv where the lock has no images."""
    if not folder.images_file.is_file():
        raise _NotYetError(f"no images yet; run: evalkit generate {folder.root}")
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
        hashes = threads.map(lambda name: _hash_of(folder.images / name), wanted)
    _require_files(wanted, dict(zip(wanted, hashes, strict=True)), "images/")
    return f"{len(wanted):,} files with the locked hashes"


def _hash_of(file: Path) -> str | None:
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
    raise _WrongError(f"{where}{first} {what}{more}")


def _public_images(folder: StudyFolder) -> str:
    wanted = _content(folder, "blinded")
    if wanted is None:
        raise _NotYetError(
            "a lock of evalkit 0.1.0 does not hold them; evalkit check looks at them"
        )
    found = blinded_hashes(folder)
    _require_files(wanted, dict(found), "blinded/")
    added = found.keys() - wanted.keys()
    if added:
        raise _WrongError(f"blinded/{min(added)} is not of the study")
    return f"{len(wanted):,} files with the locked hashes"


def _require_database(folder: StudyFolder) -> None:
    if store_exists(folder.store_address):
        return
    if folder.lock_file.is_file():
        raise _WrongError(f"{described(folder.store_address)} with the votes is not there")
    raise _NotYetError("no vote database yet")


def _vote_database(folder: StudyFolder) -> str:
    _require_database(folder)
    with closing(open_votes(folder)) as store:
        require_same_study(folder, store)
        given = len(store.votes())
    wrong = unsoundness(folder.store_address)
    if wrong:
        raise _WrongError(wrong)
    return f"belongs to the study; {given:,} votes, as they were counted when they came"


def _received(folder: StudyFolder, now: str) -> str:
    _require_database(folder)
    with closing(open_votes(folder)) as store:
        got = reception(store, folder.received, now)
    if got.alarm:
        raise _WrongError(got.alarm.rstrip("."))
    simulated = f", {got.simulated:,} simulated" if got.simulated else ""
    return (
        f"{got.received:,} arrived, {got.kept:,} are kept, {got.withdrawn:,} withdrawn{simulated}"
    )


def _analysis(folder: StudyFolder) -> str:
    file = folder.analysis / "summary.json"
    if not file.is_file():
        raise _NotYetError(f"none yet; run: evalkit analyze {folder.root}")
    summary = _json(file)
    _require_named(folder, summary.get("lock"), "analysis/summary.json")
    written = summary.get("tables_sha256", {})
    found = {name: _hash_of(folder.analysis / name) for name in written}
    for name, sha256 in written.items():
        if found[name] != sha256:
            raise _WrongError(f"analysis/{name} is not the table that the analysis wrote")
    _require_database(folder)
    with closing(open_votes(folder)) as store:
        now, withdrawn = judged_votes(folder, store).comparisons, store.withdrawn_votes()
    then = tables.read(folder.analysis / "comparisons.csv", tables.COMPARISONS)
    return _compared(then, now, withdrawn)


def _compared(then: pd.DataFrame, now: pd.DataFrame, withdrawn: int) -> str:
    """How the analysed comparisons and those of the database fit together."""
    both = then.merge(now, on="trial_id", suffixes=("", "_now"))
    for name in _COMPARED:
        wrong = both[both[name].astype(str) != both[f"{name}_now"].astype(str)]
        if len(wrong):
            row = wrong.iloc[0]
            raise _WrongError(
                f"trial {row['trial_id']}: {name} is {row[name]} in analysis/comparisons.csv, and "
                f"{row[f'{name}_now']} by the vote database"
            )
    gone = sorted(set(then["trial_id"]) - set(now["trial_id"]))
    if len(gone) > withdrawn:
        raise _WrongError(
            f"the vote on trial {gone[0]} was analysed, and is not in the vote database"
        )
    new = now[~now["trial_id"].isin(then["trial_id"])]
    unseen = new[new["created_at"] < then["created_at"].max()]
    if len(unseen):
        raise _WrongError(f"the vote on trial {unseen['trial_id'].iloc[0]} is not in the analysis")
    later = f"; {len(new):,} votes came after it" if len(new) else ""
    return f"{len(both):,} comparisons are those of the vote database{later}"


def _report(folder: StudyFolder) -> str:
    page = folder.report / "index.html"
    if not page.is_file():
        raise _NotYetError(f"none yet; run: evalkit report {folder.root}")
    named = lock_hash(folder) if lock_hash(folder) in page.read_text("utf-8") else None
    _require_named(folder, named, "report/index.html")
    shown = sorted((folder.report / "tables").glob("*.csv"))
    for file in shown:
        sources = [place / file.name for place in (folder.analysis, folder.scores)]
        source = next((path for path in sources if path.is_file()), None)
        if source is None or source.read_bytes() != file.read_bytes():
            raise _WrongError(f"report/tables/{file.name} is not the table of the analysis")
    return f"names the lock; {len(shown)} tables are those of the analysis"


def _require_named(folder: StudyFolder, named: str | None, where: str) -> None:
    """_WrongError where something made under another lock lies there; one of 0.1.0 is not named."""
    if _content(folder, "study") is not None and named != lock_hash(folder):
        said = f"names the lock {named}" if named else "does not name the lock"
        raise _WrongError(
            f"{where} {said}, which is {lock_hash(folder)}; it was made for another state"
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except ValueError:
        raise _WrongError(f"{path} is not readable as JSON") from None
