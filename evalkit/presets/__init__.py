"""Presets: commented study files to start from."""

from pathlib import Path

from evalkit.errors import StudyError, listed, nearest
from evalkit.files import write_text
from evalkit.study import parse_study

_FOLDER = Path(__file__).parent

PRESETS = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def init_study(path: Path, preset: str) -> Path:
    """Write the preset's study.toml into the new folder `path`; the folder's name is the study's.

    StudyError where the preset is unknown, the name is not allowed, or the folder holds anything
    already; nothing is written then.
    """
    if preset not in PRESETS:
        raise StudyError(
            f'preset: unknown "{preset}"; allowed are {listed(PRESETS)}{nearest(preset, PRESETS)}'
        )
    if path.exists() and not path.is_dir():
        raise StudyError(f"{path}: is a file; give a folder that does not exist yet")
    if path.is_dir() and any(path.iterdir()):
        raise StudyError(f"{path}: exists and is not empty; give a folder that does not exist yet")
    text = preset_text(preset).replace("{name}", path.resolve().name)
    file = path / "study.toml"
    parse_study(text, file)
    write_text(file, text)
    return file


def preset_text(preset: str) -> str:
    """The study.toml of a preset, with `{name}` where the study's name goes."""
    return (_FOLDER / f"{preset}.toml").read_text("utf-8")
