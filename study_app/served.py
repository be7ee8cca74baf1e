"""The one study this process serves: its vote database, public images, journal and limits."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.store import Store, StoreUnavailableError, open_store
from study_app.journal import Journal
from study_app.rates import COMPLAINTS, ENTRIES, IMAGES, NOTES, PAGES, VOTES, Buckets


@dataclass(frozen=True)
class Limits:
    """How fast an annotator may ask, by what for; and how often a trouble is told."""

    votes: Buckets = field(default_factory=lambda: Buckets(VOTES))
    images: Buckets = field(default_factory=lambda: Buckets(IMAGES))
    notes: Buckets = field(default_factory=lambda: Buckets(NOTES))
    pages: Buckets = field(default_factory=lambda: Buckets(PAGES))
    entries: Buckets = field(default_factory=lambda: Buckets(ENTRIES))
    complaints: Buckets = field(default_factory=lambda: Buckets(COMPLAINTS))


@dataclass
class Served:
    """What the routes and the page read; nothing here names a model."""

    store: Store
    blinded: Path
    journal: Journal
    limits: Limits = field(default_factory=Limits)
    last_texts: Mapping[str, Any] = field(default_factory=dict)

    def texts(self) -> Mapping[str, Any]:
        """The study's texts; while the database is away, those it gave last."""
        try:
            self.last_texts = self.store.study().texts
        except StoreUnavailableError:
            if not self.last_texts:
                raise
        return self.last_texts

    def complain(self, trouble: str) -> None:
        """Tell whoever runs the server what keeps it from answering; not each time anew."""
        if not self.limits.complaints.wait(trouble):
            print(f"evalkit: {trouble}", file=sys.stderr, flush=True)


_current: Served | None = None


def open_served(store_address: Path | str, blinded: Path, journal: Path) -> Served:
    """Open the study for this process; StoreError where its database is missing.

    The connection lives in this module, since any client can clear Streamlit's caches.
    """
    global _current  # one process serves one study
    served = Served(open_store(store_address), blinded, Journal(journal))
    served.texts()
    _current = served
    return served


def current() -> Served:
    """The study opened by `open_served`."""
    if _current is None:
        raise RuntimeError("no study is open; start the app with python -m study_app")
    return _current
