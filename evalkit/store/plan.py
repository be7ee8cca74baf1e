"""The blinded study and its plan of trials, to and from the database."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import sqlalchemy as sa

from evalkit import tables
from evalkit.design import TrialPlan, block_length, question_parts, trial_plan
from evalkit.store import schema
from evalkit.store.meta import forget_meta, read_values, write_meta
from evalkit.study import Study
from evalkit.study_sections import Design, Entry, Question, SessionSettings
from evalkit.texts import page_texts

_OF_A_PLAN = (
    "schema_version", "plan_id", "name_sha256", "study_sha256", "design", "session", "own_texts",
    "viewing_size", "entry",
)  # fmt: skip


@dataclass(frozen=True)
class BlindedStudy:
    """What of a study an annotator's session needs; names no model. `plan_id` names this plan."""

    plan_id: str
    name_sha256: str
    study_sha256: str
    questions: tuple[Question, ...]
    design: Design
    session: SessionSettings
    texts: Mapping[str, Any]
    viewing_size: int
    entry: Entry

    @property
    def parts(self) -> tuple[str, ...]:
        """The question ids in the order an annotator comes to them."""
        return tuple(question.id for question, _ in question_parts(self.questions, self.design))

    def blocks(self, question_id: str) -> int:
        """In how many blocks the question's trials are planned to come."""
        lengths = {q.id: length for q, length in question_parts(self.questions, self.design)}
        length = lengths[question_id]
        return max(1, -(-length // block_length(self.design, length)))

    def question(self, question_id: str) -> Question:
        """The question of this id; KeyError where there is none."""
        return {question.id: question for question in self.questions}[question_id]


@dataclass(frozen=True)
class StoredPlan:
    """The blinded study, what trials are chosen from, and the rows of the pairs by pair_id."""

    study: BlindedStudy
    trials: TrialPlan
    pairs: Mapping[str, sa.Row]


@dataclass(frozen=True)
class Standing:
    """What of the table meta may change while the plan stays."""

    plan_id: str
    entry: Entry
    paused: Mapping[str, str] | None

    @classmethod
    def read(cls, connection: sa.Connection) -> "Standing":
        """As the database says now."""
        values = read_values(connection, ["plan_id", "entry", "paused"])
        entry = Entry.model_validate(values["entry"])
        return cls(values["plan_id"], entry, values.get("paused"))


def name_sha256(study: Study) -> str:
    """A hash of the study's name, which may itself name models."""
    return hashlib.sha256(study.name.encode()).hexdigest()


def write_plan(connection: sa.Connection, study: Study, pairs: pd.DataFrame) -> None:
    """Fill meta, questions, pairs and tallies; the latter three must be empty."""
    pairs = tables.check(pairs, tables.BLINDED_PAIRS, "blinded pairs").sort_values("pair_id")
    content = {
        "schema_version": schema.SCHEMA_VERSION,
        "plan_id": hashlib.sha256((study.sha256 + pairs.to_csv()).encode()).hexdigest(),
        "name_sha256": name_sha256(study),
        "study_sha256": study.sha256,
        "design": study.design.model_dump(mode="json", exclude={"pairs"}),  # they name models
        "session": study.session.model_dump(mode="json"),
        "own_texts": study.own_texts,
        "viewing_size": study.images.viewing_size,
        "entry": study.entry.model_dump(mode="json"),
    }
    assert tuple(sorted(content)) == tuple(sorted(_OF_A_PLAN))
    for key, value in content.items():
        write_meta(connection, key, value)
    questions = [
        {"question_id": question.id, "position": place, **question.model_dump(exclude={"id"})}
        for place, question in enumerate(study.questions)
    ]
    connection.execute(sa.insert(schema.questions), questions)
    optional = ["question_id", "expected", "foil"]
    blinded = pairs.assign(**{name: pairs[name].replace("", None) for name in optional})
    if not blinded.empty:
        connection.execute(sa.insert(schema.pairs), blinded.to_dict("records"))
    _write_empty_tallies(connection)


def _write_empty_tallies(connection: sa.Connection) -> None:
    questions, pairs = schema.questions, schema.pairs
    zero = sa.literal(0)
    each = questions.join(pairs, pairs.c.role == "main")  # every main pair for every question
    main = sa.select(questions.c.question_id, pairs.c.pair_id, zero, zero, zero, zero)
    matchups = sa.select(questions.c.question_id, pairs.c.matchup, zero, zero, zero).distinct()
    for table, rows in ((schema.tallies, main), (schema.matchup_tallies, matchups)):
        columns = [column.name for column in table.columns]
        connection.execute(sa.insert(table).from_select(columns, rows.select_from(each)))


def clear_plan(connection: sa.Connection) -> None:
    """Take away the plan with all trials and sessions; annotators stay."""
    for table in (
        schema.trials, schema.sessions, schema.tallies, schema.matchup_tallies, schema.pairs,
        schema.questions,
    ):  # fmt: skip
        connection.execute(sa.delete(table))
    forget_meta(connection, _OF_A_PLAN)


def read_plan(connection: sa.Connection) -> StoredPlan:
    """The plan as the database holds it."""
    questions = tuple(
        Question(
            id=row.question_id,
            text=row.text,
            show_prompt=row.show_prompt,
            tie=row.tie,
            both_bad=row.both_bad,
        )
        for row in connection.execute(
            sa.select(schema.questions).order_by(schema.questions.c.position)
        )
    )
    values = read_values(connection, _OF_A_PLAN)
    session = SessionSettings.model_validate(values["session"])
    study = BlindedStudy(
        plan_id=values["plan_id"],
        name_sha256=values["name_sha256"],
        study_sha256=values["study_sha256"],
        questions=questions,
        design=Design.model_validate(values["design"]),
        session=session,
        texts=page_texts(session.language, values["own_texts"]),
        viewing_size=values["viewing_size"],
        entry=Entry.model_validate(values["entry"]),
    )
    rows = connection.execute(sa.select(schema.pairs).order_by(schema.pairs.c.pair_id)).all()
    columns = [column.name for column in schema.pairs.columns]
    plan = trial_plan(pd.DataFrame(rows, columns=columns), questions, study.design)
    return StoredPlan(study, plan, {row.pair_id: row for row in rows})


def with_entry(plan: StoredPlan, entry: Entry) -> StoredPlan:
    """The plan with another entry, which may change while a study goes on."""
    return replace(plan, study=replace(plan.study, entry=entry))
