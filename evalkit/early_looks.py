"""Results seen before the planned votes are there: refused, or wanted, recorded and said."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import StudyError
from evalkit.monitoring import question_progress
from evalkit.store import Store

_EVENT = "early look"  # in the log


@dataclass(frozen=True)
class PlannedVotes:
    """How many main votes are wanted over all pairs and questions, and how many of them given.

    A vote too many on one pair stands in for none elsewhere.
    """

    given: int
    planned: int

    @property
    def banner(self) -> str:
        """What must be said of results that rest on these votes; empty once all are there."""
        if self.given == self.planned:
            return ""
        return (
            f"EARLY LOOK: {self.given:,} of {self.planned:,} planned votes; intervals hold for "
            "the declared end only"
        )


def planned_votes(store: Store) -> PlannedVotes:
    """The votes of the study as they stand."""
    questions = question_progress(store)
    return PlannedVotes(sum(q.given for q in questions), sum(q.planned for q in questions))


def require_planned(votes: PlannedVotes, root: Path, where: Path) -> None:
    """StudyError where some of the planned votes of the study in the folder `root` are missing.

    `where` is what has these votes: the study, or its analysis.
    """
    if votes.banner:
        raise StudyError(
            f"{where}: {votes.given:,} of {votes.planned:,} planned votes are there, and results "
            f"are for the planned end; wait for it and run evalkit analyze {root}, or add --early "
            "to look all the same; the look is recorded and said on the report"
        )


def record_look(store: Store, votes: PlannedVotes, now: str) -> None:
    """Write into the study's log that somebody looks at results of these votes."""
    store.note(now, "coordinator", _EVENT, json.dumps(asdict(votes)))


def recorded_looks(store: Store) -> list[dict[str, Any]]:
    """The early looks so far, each with `at`, `given` and `planned`, in order."""
    log = store.log()
    rows = log[log["event"] == _EVENT]
    return [
        {"at": at, **json.loads(detail)}
        for at, detail in zip(rows["at"], rows["detail"], strict=True)
    ]
