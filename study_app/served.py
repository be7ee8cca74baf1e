"""The one study this process serves: its vote database, its public images, its texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.store import Store, open_store


@dataclass(frozen=True)
class Served:
    """What the routes and the page read; nothing here names a model."""

    store: Store
    blinded: Path
    texts: dict[str, Any]


_current: Served | None = None


def open_served(store_path: Path, blinded: Path) -> Served:
    """Open the study for this process; StoreError where its database is missing.

    The connection lives in this module, since any client can clear Streamlit's caches.
    """
    global _current  # one process serves one study
    store = open_store(store_path)
    _current = Served(store, blinded, store.study().texts)
    return _current


def current() -> Served:
    """The study opened by `open_served`."""
    if _current is None:
        raise RuntimeError("no study is open; start the app by study_app.server.serve")
    return _current
