"""The vote database (SQLAlchemy Core; SQLite, PostgreSQL): trials and votes, no model names."""

from evalkit.design import Progress
from evalkit.store.address import Address, described
from evalkit.store.annotators import Annotator
from evalkit.store.database import Store
from evalkit.store.opening import create_store, open_store, store_exists
from evalkit.store.plan import BlindedStudy, name_sha256
from evalkit.store.refusals import (
    AnnotatorBlockedError,
    StoreUnavailableError,
    StudyFullError,
    StudyPausedError,
)
from evalkit.store.trials import Example, Trial
from evalkit.store.votes import Vote

__all__ = [
    "Address",
    "Annotator",
    "AnnotatorBlockedError",
    "BlindedStudy",
    "Example",
    "Progress",
    "Store",
    "StoreUnavailableError",
    "StudyFullError",
    "StudyPausedError",
    "Trial",
    "Vote",
    "create_store",
    "described",
    "name_sha256",
    "open_store",
    "store_exists",
]
