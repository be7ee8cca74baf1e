"""Vote databases for tests, in a file or on a real PostgreSQL server, with a small study."""

import sqlite3
import tempfile
from functools import cache
from pathlib import Path

import pandas as pd

from evalkit.blinding import blind_pairs, shown_images
from evalkit.design import plan_checks, plan_pairs
from evalkit.store import Address, Store, Trial, create_store, open_store
from evalkit.study import Study
from tests.postgres import postgres_server
from tests.study_factory import NOW, make_study

KINDS = ("sqlite", "postgresql")


@cache
def planned(**design: object) -> tuple[Study, pd.DataFrame]:
    """A study and its blinded pairs, whose public images exist by name only."""
    with tempfile.TemporaryDirectory() as root:
        folder = make_study(Path(root) / "study", **design)
        study, prompts, images = folder.study, folder.read_prompts(), folder.read_images()
    pairs, checks = plan_pairs(images, study), plan_checks(images, prompts, study)
    names = {shown: f"{n:032x}.png" for n, shown in enumerate(shown_images(pairs, checks))}
    return study, blind_pairs(pairs, checks, prompts, names, study.seed)


class Database:
    """A place for one vote database, and a way to look into it beside the code under test."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.address: Address = (
            folder / "votes.sqlite" if kind == "sqlite" else postgres_server().make_database()
        )
        self._stores: list[Store] = []

    @property
    def name(self) -> str:
        """The database's name on the server."""
        return str(self.address).rpartition("/")[2].partition("?")[0] if self.is_server else ""

    @property
    def is_server(self) -> bool:
        """Whether it is PostgreSQL."""
        return self.kind == "postgresql"

    def create(self, **design: object) -> Store:
        """A new store with a small study of this design."""
        return self._kept(create_store(self.address, *planned(**design)))

    def open(self) -> Store:
        """Another store for the same database, as another process would open it."""
        return self._kept(open_store(self.address))

    def execute(self, statement: str) -> list[tuple]:
        """Run one statement and commit it; its rows."""
        if self.is_server:
            return postgres_server().execute(self.name, statement)
        with sqlite3.connect(self.address, isolation_level=None) as connection:
            return connection.execute(statement).fetchall()

    def close(self) -> None:
        """Close every store that was made here."""
        for store in self._stores:
            store.close()

    def _kept(self, store: Store) -> Store:
        self._stores.append(store)
        return store


def lease(store: Store, annotator_id: str, prefix: str, n: int = 3, now: str = NOW) -> list[Trial]:
    """Ask for `n` trials in the annotator's session; new ones are called `prefix`0, 1, ..."""
    ids = [f"{prefix}{number}" for number in range(n)]
    return store.lease_trials(annotator_id, f"session-of-{annotator_id}", ids, now, seed=7)


def vote_on_all(store: Store, annotator_id: str, choice: str = "left", now: str = NOW) -> list[str]:
    """Let the annotator vote until nothing is left for them; the ids of the trials."""
    voted: list[str] = []
    while leased := lease(store, annotator_id, f"{annotator_id}-{len(voted)}-", 1, now):
        store.record_vote(leased[0].trial_id, annotator_id, choice, 900, now)
        voted.append(leased[0].trial_id)
    return voted


def tallies_hold(database: Database) -> bool:
    """Whether the tallies are what counting all trials and votes gives."""
    kept = database.execute(
        "SELECT question_id, pair_id, issued, voted, open FROM tallies"
        " WHERE issued <> 0 OR voted <> 0 OR open <> 0"
    )
    counted = database.execute(
        "SELECT question_id, pair_id, count(*),"
        " count(CASE WHEN state = 'voted' THEN 1 END), count(CASE WHEN state = 'open' THEN 1 END)"
        " FROM trials WHERE kind = 'main' GROUP BY question_id, pair_id"
    )
    return sorted(kept) == sorted(counted)
