"""Votes as they were pressed and acknowledged, against those that the database keeps."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.annotators import Annotator

VoteKey = tuple[str, int]  # trial_id, revision


@dataclass(frozen=True)
class Kept:
    """Choices by (trial_id, revision), and `rows`, the number of rows of the table of votes."""

    pressed: dict[VoteKey, str]
    acknowledged: dict[VoteKey, str]
    stored: dict[VoteKey, str]
    rows: int

    @property
    def lost(self) -> int:
        """Acknowledged votes that are not stored."""
        return len(self.acknowledged.keys() - self.stored.keys())

    @property
    def doubled(self) -> int:
        """Stored votes that nobody pressed, and rows beyond one for each."""
        return len(self.stored.keys() - self.pressed.keys()) + self.rows - len(self.stored)

    @property
    def altered(self) -> int:
        """Votes that are stored with another choice than was pressed or acknowledged."""
        told = {*self.pressed.items(), *self.acknowledged.items()}
        return len({key for key, choice in told if self.stored.get(key, choice) != choice})

    @property
    def unanswered(self) -> int:
        """Pressed votes whose annotator was never told that they are kept."""
        return len(self.pressed.keys() - self.acknowledged.keys())

    @property
    def corrections(self) -> int:
        """Stored votes that correct another."""
        return sum(revision > 1 for _, revision in self.stored)


def compare(address: Path | str, people: Iterable[Annotator]) -> Kept:
    """What these annotators know of their votes, against the database at this address."""
    pressed: dict[VoteKey, str] = {}
    acknowledged: dict[VoteKey, str] = {}
    for person in people:
        pressed |= {(one.trial_id, one.revision): one.choice for one in person.record.pressed}
        acknowledged |= person.record.acknowledged
    rows = stored_votes(address)
    stored = {(trial_id, revision): choice for trial_id, revision, choice in rows}
    return Kept(pressed, acknowledged, stored, len(rows))


def faults(people: Iterable[Annotator]) -> Counter:
    """How often what went wrong for these annotators."""
    return sum((person.record.faults for person in people), Counter())


def stored_votes(address: Path | str) -> list[tuple[str, int, str]]:
    """All rows of the table of votes: trial_id, revision, choice.

    Read past evalkit, by the database's own means, as a second opinion.
    """
    query = "SELECT trial_id, revision, choice FROM votes ORDER BY trial_id, revision"
    is_file = isinstance(address, Path)
    connection = sqlite3.connect(address) if is_file else psycopg.connect(address)
    try:
        return [(row[0], row[1], row[2]) for row in connection.execute(query)]
    finally:
        connection.close()
