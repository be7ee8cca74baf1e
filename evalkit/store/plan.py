"""The blinded study and its plan of trials, to and from the database."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa

from evalkit import tables
from evalkit.design import TrialPlan, question_blocks, trial_plan
from evalkit.store import schema
from evalkit.study import Study
from evalkit.study_sections import Design, Question, SessionSettings
from evalkit.texts import page_texts


@dataclass(frozen=True)
class BlindedStudy:
    """What of a study an annotator's session needs; names no model. `plan_id` names this plan."""

    plan_id: str
    study_sha256: str
    questions: tuple[Question, ...]
    design: Design
    session: SessionSettings
    texts: Mapping[str, Any]
    viewing_size: int

    @property
    def parts(self) -> tuple[str, ...]:
        """The question ids in the order an annotator comes to them."""
        return tuple(question.id for question, _ in question_blocks(self.questions, self.design))

    def question(self, question_id: str) -> Question:
        """The question of this id; KeyError where there is none."""
        return {question.id: question for question in self.questions}[question_id]


@dataclass(frozen=True)
class StoredPlan:
    """The blinded study, what trials are chosen from, and the rows of the pairs by pair_id."""

    study: BlindedStudy
    trials: TrialPlan
    pairs: Mapping[str, sa.Row]


def read_meta(connection: sa.Connection, key: str) -> Any:
    """The value under this key of the table meta; KeyError where there is none."""
    query = sa.select(schema.meta.c.value).where(schema.meta.c.key == key)
    value = connection.execute(query).scalar()
    if value is None:
        raise KeyError(key)
    return json.loads(value)


def write_plan(connection: sa.Connection, study: Study, pairs: pd.DataFrame) -> None:
    """Fill the tables meta, questions and pairs, which must be empty."""
    pairs = tables.check(pairs, tables.BLINDED_PAIRS, "blinded pairs").sort_values("pair_id")
    content = {
        "schema_version": schema.SCHEMA_VERSION,
        "plan_id": hashlib.sha256((study.sha256 + pairs.to_csv()).encode()).hexdigest(),
        "study_sha256": study.sha256,
        "design": study.design.model_dump(mode="json", exclude={"pairs"}),  # they name models
        "session": study.session.model_dump(mode="json"),
        "own_texts": study.own_texts,
        "viewing_size": study.images.viewing_size,
    }
    rows = [{"key": key, "value": json.dumps(value)} for key, value in content.items()]
    connection.execute(sa.insert(schema.meta), rows)
    questions = [
        {"question_id": question.id, "position": place, **question.model_dump(exclude={"id"})}
        for place, question in enumerate(study.questions)
    ]
    connection.execute(sa.insert(schema.questions), questions)
    blinded = pairs.assign(question_id=pairs["question_id"].replace("", None))
    connection.execute(sa.insert(schema.pairs), blinded.to_dict("records"))


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
    session = SessionSettings.model_validate(read_meta(connection, "session"))
    study = BlindedStudy(
        plan_id=read_meta(connection, "plan_id"),
        study_sha256=read_meta(connection, "study_sha256"),
        questions=questions,
        design=Design.model_validate(read_meta(connection, "design")),
        session=session,
        texts=page_texts(session.language, read_meta(connection, "own_texts")),
        viewing_size=read_meta(connection, "viewing_size"),
    )
    rows = connection.execute(sa.select(schema.pairs).order_by(schema.pairs.c.pair_id)).all()
    plan = trial_plan(pd.DataFrame(rows), questions, study.design)
    return StoredPlan(study, plan, {row.pair_id: row for row in rows})
