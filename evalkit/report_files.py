"""report/files.json: the SHA-256 of every file of a report, and the lock it was made under."""

import json
from pathlib import Path
from typing import Any

from evalkit.errors import StudyError
from evalkit.files import file_sha256, write_json
from evalkit.lock import lock_hash
from evalkit.study_folder import StudyFolder

LABELLED = ("comparisons", "annotators", "stability")  # tables in which annotators have labels


def write_record(folder: StudyFolder) -> None:
    """Note the files of the report as they lie there; called when all are written."""
    hashes = {name: file_sha256(path) for name, path in _files(folder).items()}
    write_json(folder.report_record, {"lock": lock_hash(folder), "files": hashes})


def read_record(folder: StudyFolder) -> dict[str, Any]:
    """What was noted: `lock` and `files`; StudyError where it is missing or cannot be read."""
    try:
        record = json.loads(folder.report_record.read_text("utf-8"))
        return {"lock": str(record["lock"]), "files": dict(record["files"])}
    except FileNotFoundError:
        raise StudyError("report/files.json, which names its files, is missing") from None
    except (ValueError, KeyError, TypeError):
        raise StudyError("report/files.json is not as evalkit writes it") from None


def wrong_file(folder: StudyFolder, hashes: dict[str, str]) -> str:
    """The first file that is not as noted, and how; "" where all are."""
    found = _files(folder)
    for name in sorted(found.keys() | hashes.keys()):
        if name not in found:
            return f"report/{name} is missing"
        if name not in hashes:
            return f"report/{name} is not of the report"
        if file_sha256(found[name]) != hashes[name]:
            return f"report/{name} is not the file that the report wrote"
    return ""


def _files(folder: StudyFolder) -> dict[str, Path]:
    """The report's files by their path in it, but for the record itself and hidden ones."""
    paths = (path for path in sorted(folder.report.rglob("*")) if path.is_file())
    named = {path.relative_to(folder.report).as_posix(): path for path in paths}
    own = folder.report_record.name
    return {
        name: path
        for name, path in named.items()
        if name != own and not any(part.startswith(".") for part in Path(name).parts)
    }
