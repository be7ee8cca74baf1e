"""What a table is made of: columns, their kinds, and the values that are allowed in them."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

CHOICES = ("left", "right", "tie", "both_bad")
WINNERS = ("model_a", "model_b", "tie", "both_bad")
TRIAL_KINDS = ("main", "repeat", "attention", "practice")
PAIR_ROLES = ("main", "attention", "practice", "example")
IMAGE_STATUSES = ("ok", "failed", "filtered")
FOILS = ("other_prompt", "pixelated")
SIMULATED = "SIMULATED VOTES"
MEAN_OF_QUESTIONS = "mean of questions"  # rows of elo.csv, and so no question's id
AGREEMENT_MEASURES = ("krippendorff_alpha", "raw_agreement", "repeat_consistency")
METRIC_MEASURES = ("accuracy", "auc", "ceiling", "floor", "rank_correlation")
DECISIONS = ("decided", "go on", "cannot be decided")
TIES_RULES = ("half", "drop", "both_bad_apart")
SPEED_SOURCES = ("generation", "bench", "bench with random weights")
PROLIFIC_IDS = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")  # in the address of who comes from there

FIRST_LINE = 2  # line of the first data row in a file with a header, as an editor counts it


@dataclass(frozen=True)
class Column:
    """One column: its name, what its cells hold and which values are allowed.

    A cell of the kind file is a path below the folder that the table speaks of.
    """

    name: str
    kind: Literal["text", "integer", "number", "flag", "file"] = "text"
    allowed: tuple[str, ...] = ()
    required: bool = True  # False: the column may be absent
    empty: bool = False  # True: a cell may be empty (missing)


@dataclass(frozen=True)
class Table:
    """The columns of one kind of table, and the columns that name a row (where present)."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of all columns, in order."""
        return [column.name for column in self.columns]

    def empty(self) -> pd.DataFrame:
        """The table without rows, and without its optional columns."""
        names = [column.name for column in self.columns if column.required]
        return pd.DataFrame({name: pd.Series(dtype=object) for name in names})


def text(*names: str, empty: bool = False, required: bool = True) -> tuple[Column, ...]:
    return tuple(Column(name, empty=empty, required=required) for name in names)


def file(*names: str, empty: bool = False, required: bool = True) -> tuple[Column, ...]:
    return tuple(Column(name, "file", empty=empty, required=required) for name in names)


def number(*names: str, empty: bool = True, required: bool = True) -> tuple[Column, ...]:
    return tuple(Column(name, "number", empty=empty, required=required) for name in names)


def count(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "integer") for name in names)


VOTE_SOURCE = Column("vote_source", allowed=(SIMULATED,), required=False, empty=True)
