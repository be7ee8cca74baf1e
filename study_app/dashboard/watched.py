"""The one study that this process watches, and who may see it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from evalkit.store import Store
from study_app.dashboard.accounts import Accounts
from study_app.dashboard.gate import Logins


@dataclass(frozen=True)
class Watched:
    """What the page reads: the vote database, the folder of journals; `door` says who enters."""

    store: Store
    received: Path
    name: str
    door: Logins | Accounts


_current: Watched | None = None


def watch(watched: Watched) -> None:
    """Make this the study of the process."""
    global _current  # one process watches one study
    _current = watched


def current() -> Watched:
    """The study given to `watch`."""
    if _current is None:
        raise RuntimeError("no study is watched; start the page by dashboard.server.serve")
    return _current


def now() -> str:
    """The time: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
