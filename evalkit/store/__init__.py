"""The vote database (SQLAlchemy Core on SQLite): trials and votes; it knows no model names."""

from evalkit.store.database import Store, StoreUnavailableError, create_store, open_store
from evalkit.store.plan import BlindedStudy
from evalkit.store.rows import Annotator, Trial, Vote

__all__ = [
    "Annotator",
    "BlindedStudy",
    "Store",
    "StoreUnavailableError",
    "Trial",
    "Vote",
    "create_store",
    "open_store",
]
