"""A study that has votes -> a new study to change, which names the one it comes from."""

import os
import re
import shutil
import zipfile
from pathlib import Path

from evalkit.errors import StudyError
from evalkit.exports.cards import exported_heading
from evalkit.files import part_name, write_text
from evalkit.lock import lock_hash
from evalkit.models import ImportedModel
from evalkit.study import parse_study, require_name
from evalkit.study_folder import StudyFolder

_NAME = re.compile(r"^name\s*=.*$", re.MULTILINE)
_PREVIOUS = re.compile(r"\n*^\[previous\].*\n(?:(?!\[).*\n?)*", re.MULTILINE)
_STORE = re.compile(r"^store\s*=.*\n", re.MULTILINE)


def new_version(old: StudyFolder, path: Path) -> Path:
    """Make the study folder `path` from that of `old`: its study.toml and what the user put there.

    The new study.toml names the old study and the hash of its lock under `previous`. Images come
    along (as further names of the same files, where the disk can), so that those whose prompt and
    settings stay are not made again; votes, scores and results do not. Gives the new study.toml;
    StudyError, with nothing written, where the folder is not empty or the name is not allowed.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StudyError(f"{path}: exists already; give a folder that does not exist yet")
    require_name(path.resolve().name, str(path))
    _require_reachable(old, path)
    text = _text(old, path)
    part = path.parent / part_name()
    try:
        part.mkdir(parents=True)
        for name in sorted(_brought(old)):
            _copy(old.root / name, part / name)
        write_text(part / "study.toml", text)
        if path.is_dir():
            path.rmdir()
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path / "study.toml"


def _require_reachable(old: StudyFolder, path: Path) -> None:
    """StudyError where prompts or images lie outside the old folder, and not so from the new."""
    models = (model for model in old.study.models if isinstance(model, ImportedModel))
    named = {"prompts.source": old.study.prompts.source}
    named |= {f"models.{model.name}.images": model.images for model in models}
    for key, name in named.items():
        there = (old.root / name).resolve()
        is_outside = not there.is_relative_to(old.root.resolve())
        if there.exists() and is_outside and (path.resolve() / name).resolve() != there:
            raise StudyError(
                f'{old.root / "study.toml"}: {key} = "{name}" is named from the study folder, and '
                f"does not lie so from {path}; make the new version beside the old one"
            )


def _text(old: StudyFolder, path: Path) -> str:
    """The study file with the new name, the old study under `previous`, votes of its own."""
    text = (old.root / "study.toml").read_text("utf-8")
    text, found = _NAME.subn(f'name = "{path.resolve().name}"', text, count=1)
    text = _PREVIOUS.sub("\n", _STORE.sub("", text, count=1)).rstrip("\n")
    text += (
        "\n\n[previous]  # the study that this one is a new version of, and its lock\n"
        f'name = "{old.study.name}"\nlock = "{lock_hash(old)}"\n'
    )
    study = parse_study(text, path / "study.toml")
    if not found or study.name != path.resolve().name:
        raise StudyError(
            f"{old.root / 'study.toml'}: name stands on no line of its own; write it so, as "
            "name = ..., and try again"
        )
    if study.images.address is not None:
        raise StudyError(
            f"{old.root}: its images lie at {study.images.address}, which stays that of one study; "
            "copy study.toml into a new folder by hand, and give it an address of its own"
        )
    return text


def _brought(old: StudyFolder) -> set[str]:
    """Names in the old folder that the new one has too: what no command made, and the images."""
    made = {
        "study.toml", "pairs.csv", "checks.csv", "images.csv", "blinded", "lock.json", "received",
        "check.json", "simulation.json", "scores", "judgements", "sets", "spreads", "analysis",
        "report", "bench.json", "SHA256SUMS", old.screen_file.name,
    }  # fmt: skip
    votes = Path(old.study.store).stem
    return {
        path.name
        for path in old.root.iterdir()
        if path.name not in made
        and not path.name.startswith(".")
        and not (path.name.startswith(votes) and ".sqlite" in path.name)
        and not (_is_archive(path) or _is_export(path, old.study.name))
    }


def _is_archive(path: Path) -> bool:
    """Whether it is a study in a file, as `archive` writes it, whose votes are not the new ones."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return {"study.toml", "SHA256SUMS"} <= {Path(name).name for name in file.namelist()}


def _is_export(path: Path, study: str) -> bool:
    """Whether it is a folder that `export` wrote of the study, with its votes."""
    card = path / "README.md"
    return card.is_file() and exported_heading(study) in card.read_text("utf-8", errors="replace")


def _copy(source: Path, target: Path) -> None:
    """Files under images/ are never changed in place, so a second name serves for a copy."""
    if source.is_file():
        shutil.copy2(source, target)
    else:
        copy = _link if source.name == "images" else shutil.copy2
        shutil.copytree(source, target, copy_function=copy)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
