"""Trials: showings of pairs to annotators, as rows of the database and as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from evalkit.store import schema
from evalkit.store.plan import StoredPlan

_TRIAL = schema.trials.c
_BY_ID = sa.select(schema.trials).where(_TRIAL.trial_id == sa.bindparam("key"))
_BY_ANNOTATOR = (
    sa.select(schema.trials)
    .where(_TRIAL.annotator_id == sa.bindparam("key"))
    .order_by(_TRIAL.position)
)


@dataclass(frozen=True)
class Trial:
    """One showing of a pair to one annotator; `left` ("a" or "b") is the image on the left.

    `kind` is main, repeat, attention or practice. `prompt` is the pair's prompt, whether or not
    the question shows it; `left_file` and `right_file` are the opaque names of the public images;
    `foil` says what is wrong with the worse image of a check (None in main and repeat trials);
    `position` counts from 1 within the annotator.
    """

    trial_id: str
    annotator_id: str
    session_id: str
    question_id: str
    pair_id: str
    left: str
    kind: str
    position: int
    issued_at: str
    prompt: str
    left_file: str
    right_file: str
    foil: str | None


@dataclass(frozen=True)
class Example:
    """A check that the page of instructions shows; `expected` ("left", "right") is its right side.

    `foil` says what is wrong with the other image.
    """

    question_id: str
    left_file: str
    right_file: str
    expected: str
    foil: str


def trial_of(row: Mapping[str, Any], plan: StoredPlan) -> Trial:
    """The trial in a row of the table, with the prompt and the public images of its pair."""
    pair = plan.pairs[row["pair_id"]]
    left_file, right_file = pair.file_a, pair.file_b
    if row["left"] == "b":
        left_file, right_file = right_file, left_file
    own = {name: row[name] for name in Trial.__dataclass_fields__ if name in _TRIAL}
    return Trial(
        **own, prompt=pair.prompt, left_file=left_file, right_file=right_file, foil=pair.foil
    )


def example_of(question_id: str, plan: StoredPlan) -> Example | None:
    """The example of this question, or None."""
    for pair in plan.pairs.values():
        if pair.role == "example" and pair.question_id == question_id:
            side = "left" if pair.expected == "a" else "right"
            return Example(question_id, pair.file_a, pair.file_b, side, pair.foil)
    return None


def find_trial(connection: sa.Connection, trial_id: str) -> sa.Row | None:
    """The row of this trial, or None."""
    return connection.execute(_BY_ID, {"key": trial_id}).first()


def trials_of(connection: sa.Connection, annotator_id: str) -> list[sa.Row]:
    """The rows of the annotator's trials, in order."""
    return list(connection.execute(_BY_ANNOTATOR, {"key": annotator_id}))
