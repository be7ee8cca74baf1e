"""check.json: what was checked, in which state, and what was found."""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import evalkit
from evalkit.files import write_json
from evalkit.leaks.finding import Finding
from evalkit.leaks.pictures import Picture


@dataclass(frozen=True)
class Record:
    """The state of a study that was checked, the comparison of its pictures, the findings."""

    state: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether there are findings and none is a leak."""
        return bool(self.findings) and all(finding.passed for finding in self.findings)


def state_of(pictures: dict[str, Picture], plan_id: str, lock_file: Path) -> dict[str, str]:
    """What a scripted session depends on: public images, blinded plan, lock, version and app."""
    listing = json.dumps({name: picture.sha256 for name, picture in sorted(pictures.items())})
    return {
        "public_images_sha256": _sha256(listing.encode()),
        "plan_id": plan_id,
        "lock_sha256": _sha256(lock_file.read_bytes()),
        "app_sha256": _app_sha256(),
        "evalkit": evalkit.__version__,
    }


def read_record(path: Path) -> Record:
    """The record in a check.json; an empty one where there is none that can be read."""
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return Record(
            state=dict(content["state"]),
            pictures={name: Picture(*row) for name, row in content["pictures"].items()},
            findings=tuple(Finding(**row) for row in content["findings"]),
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return Record()  # it is made anew: nothing in it is needed


def write_record(path: Path, record: Record, now: str) -> None:
    """Write check.json; `now` is the time of the check."""
    content = {
        "checked_at": now,
        "passed": record.passed,
        "state": record.state,
        "findings": _rows(record.findings),
        "pictures": record.pictures,
    }
    write_json(path, content)


def _rows(findings: Sequence[Finding]) -> list[dict[str, object]]:
    return [asdict(finding) for finding in findings]


def _app_sha256() -> str:
    """Of what makes that which reaches browsers: the app, its page, texts, store and images."""
    spec = importlib.util.find_spec("study_app")
    if spec is None:
        return ""
    own = Path(evalkit.__file__).parent
    places = [Path(spec.origin).parent, *(own / name for name in _BEHIND_THE_APP)]
    return _files_sha256(places)


_BEHIND_THE_APP = ("store", "texts", "design", "blinding.py")
_CODE = (".py", ".js", ".css", ".html", ".svg", ".toml")


def _files_sha256(places: Sequence[Path]) -> str:
    """One hash of all code, pages and texts in these folders and files, and of their names."""
    listing = [
        (str(path.relative_to(place.parent)), _sha256(path.read_bytes()))
        for place in places
        for path in sorted([place, *place.rglob("*")])
        if path.suffix in _CODE and path.is_file()
    ]
    return _sha256(json.dumps(listing).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
