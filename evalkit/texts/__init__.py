"""What an annotator's page says, one file per language; a study may put its own in their place."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from evalkit.errors import StudyError, listed, nearest

_FOLDER = Path(__file__).parent
_BRACES = re.compile(r"{[^{}]*}")  # filled in by the page


def languages() -> list[str]:
    """The languages that are shipped, by their codes."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def page_texts(language: str, own: dict[str, Any]) -> dict[str, Any]:
    """The texts of a language by section and name, with a study's own in the place of some.

    A language that is not shipped takes English where the study brings no text.
    """
    shipped = language if language in languages() else "en"
    return _over(_read(_FOLDER / f"{shipped}.toml"), own)


def read_own_texts(language: str, name: str | None, study_file: Path) -> dict[str, Any]:
    """The texts that a study brings in the file `name` beside its study.toml; {} without one.

    Raises StudyError on a language that is neither shipped nor brought, a file that is missing or
    no TOML, a text that no page has, and a word in braces that this text is not filled with.
    """
    if name is None:
        if language not in languages():
            raise StudyError(
                f'{study_file}: session.language = "{language}"; shipped are {listed(languages())}'
                f"{nearest(language, languages())}; choose one, or bring your own texts in a file "
                "that session.texts names"
            )
        return {}
    if "\0" in name:
        raise StudyError(
            f"{study_file}: session.texts = {json.dumps(name)}; no file has such a name; write "
            "that of a TOML file beside study.toml"
        )
    path = study_file.parent / name
    try:
        own = _read(path)
    except OSError as error:
        raise StudyError(
            f"{study_file}: session.texts: {path} cannot be read ({error.strerror}); put it there"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not valid TOML in UTF-8 ({error}); correct it there") from None
    _refuse_unknown(own, _read(_FOLDER / "en.toml"), path, "")
    return own


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _over(below[key], value) if isinstance(value, dict) else value
    return merged


def _refuse_unknown(own: dict[str, Any], known: dict[str, Any], path: Path, within: str) -> None:
    for key, value in own.items():
        if key not in known:
            raise StudyError(
                f'{path}: unknown text "{within}{key}"; known are {listed(known)}'
                f"{nearest(key, known)}; rename or remove it"
            )
        if type(value) is not type(known[key]):
            wanted = "a table" if isinstance(known[key], dict) else "a text"
            raise StudyError(f"{path}: {within}{key} is not {wanted}; correct it there")
        if isinstance(value, dict):
            _refuse_unknown(value, known[key], path, f"{within}{key}.")
        else:
            _refuse_unfilled(value, _BRACES.findall(known[key]), f"{path}: {within}{key}")


def _refuse_unfilled(text: str, filled: list[str], where: str) -> None:
    for word in _BRACES.findall(text):
        if word not in filled:
            allowed = f"allowed are {listed(filled)}" if filled else "this text has none"
            raise StudyError(
                f"{where}: unknown {word}; {allowed}{nearest(word, filled)}; correct it there"
            )
