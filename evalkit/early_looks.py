"""Results seen before the planned votes are there: refused, or wanted, recorded and said.

Under the stopping rule `anytime` they are neither refused nor recorded, but said as well.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.errors import StudyError
from evalkit.monitoring import question_progress
from evalkit.store import Store
from evalkit.study_folder import StudyFolder

ANYTIME = "anytime"
HOLDS = (
    "the intervals and tests of anytime.csv hold at every look, those of win_rates.csv and of all "
    "other tables at the planned end only"
)

_EVENT = "early look"  # in the log


@dataclass(frozen=True)
class PlannedVotes:
    """How many main votes are wanted over all pairs and questions, and how many of them given.

    A vote too many on one pair stands in for none elsewhere. `rule` is the study's stopping rule.
    """

    given: int
    planned: int
    rule: str = "planned"

    @property
    def is_early(self) -> bool:
        """Whether the rule has results wait, and planned votes are missing."""
        return self.given != self.planned and self.rule != ANYTIME

    @property
    def stamp(self) -> str:
        """What stands on figures whose intervals do not hold yet; empty once all votes are in."""
        if self.given == self.planned:
            return ""
        return "EARLY LOOK" if self.is_early else "BEFORE THE PLANNED END"

    @property
    def banner(self) -> str:
        """What must be said of results that rest on these votes.

        Empty under the rule `planned` once all are there; the rule `anytime` is always said.
        """
        if self.rule == ANYTIME:
            return (
                f"STOPPING RULE anytime: {self.given:,} of {self.planned:,} planned votes; {HOLDS}"
            )
        if not self.is_early:
            return ""
        return (
            f"EARLY LOOK: {self.given:,} of {self.planned:,} planned votes; intervals hold for "
            "the declared end only"
        )


def planned_votes(store: Store, rule: str = "planned") -> PlannedVotes:
    """The votes of the study, whose stopping rule is `rule`, as they stand."""
    questions = question_progress(store)
    return PlannedVotes(sum(q.given for q in questions), sum(q.planned for q in questions), rule)


def planned_prompts(folder: StudyFolder) -> pd.DataFrame:
    """Columns question_id, model_a, model_b, prompt_id, n_votes: what the study wants of each.

    A row per question, pair of models and prompt; the image seeds of a prompt count together.
    """
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    shown = pairs.groupby(["model_a", "model_b", "prompt_id"], sort=False).size()
    wanted = (shown * folder.study.design.votes_per_pair).rename("n_votes").reset_index()
    questions = pd.DataFrame({"question_id": [q.id for q in folder.study.questions]})
    return questions.merge(wanted, how="cross")


def require_planned(votes: PlannedVotes, root: Path, where: Path) -> None:
    """StudyError where the study in the folder `root` waits for planned votes that are missing.

    `where` is what has these votes: the study, or its analysis.
    """
    if votes.is_early:
        raise StudyError(
            f"{where}: {votes.given:,} of {votes.planned:,} planned votes are there, and results "
            f"are for the planned end; wait for it and run evalkit analyze {root}, or add --early "
            "to look all the same; the look is recorded and said on the report"
        )


def record_look(store: Store, votes: PlannedVotes, now: str) -> None:
    """Write into the study's log that somebody looks at results of these votes."""
    store.note(now, "coordinator", _EVENT, json.dumps(counts(votes)))


def counts(votes: PlannedVotes) -> dict[str, int]:
    """The votes given and planned, for a record."""
    return {"given": votes.given, "planned": votes.planned}


def stopping(votes: PlannedVotes) -> dict[str, Any]:
    """What a summary says of the stopping rule: nothing where it is `planned`."""
    return {"stopping": {"rule": ANYTIME, "holds": HOLDS}} if votes.rule == ANYTIME else {}


def recorded_looks(store: Store) -> list[dict[str, Any]]:
    """The early looks so far, each with `at`, `given` and `planned`, in order."""
    log = store.log()
    rows = log[log["event"] == _EVENT]
    return [
        {"at": at, **json.loads(detail)}
        for at, detail in zip(rows["at"], rows["detail"], strict=True)
    ]
