"""The tables of the vote database; no model name has a place in them."""

import sqlalchemy as sa

SCHEMA_VERSION = 1

metadata = sa.MetaData()


def _key(target: str) -> sa.ForeignKey:
    return sa.ForeignKey(target, ondelete="RESTRICT")


meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),  # JSON
)
annotators = sa.Table(
    "annotators",
    metadata,
    sa.Column("annotator_id", sa.Text, primary_key=True),
    sa.Column("token_sha256", sa.Text, nullable=False, unique=True),
    sa.Column("simulated", sa.Boolean, nullable=False),
    sa.Column("invited_at", sa.Text, nullable=False),
    sa.Column("consented_at", sa.Text),
)
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("annotator_id", sa.Text, _key("annotators.annotator_id"), nullable=False),
    sa.Column("started_at", sa.Text, nullable=False),
    sa.Column("viewport_width", sa.Integer),  # CSS pixels
    sa.Column("viewport_height", sa.Integer),  # CSS pixels
    sa.Column("pixel_ratio", sa.Float),  # device pixels per CSS pixel
)
questions = sa.Table(
    "questions",
    metadata,
    sa.Column("question_id", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False, unique=True),  # in the study file
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("show_prompt", sa.Boolean, nullable=False),
    sa.Column("tie", sa.Boolean, nullable=False),
    sa.Column("both_bad", sa.Boolean, nullable=False),
)
pairs = sa.Table(
    "pairs",
    metadata,
    sa.Column("pair_id", sa.Text, primary_key=True),
    sa.Column("question_id", sa.Text, _key("questions.question_id")),  # set for checks only
    sa.Column("matchup", sa.Text, nullable=False),  # opaque code
    sa.Column("prompt_id", sa.Text, nullable=False),
    sa.Column("foil_prompt_id", sa.Text, nullable=False),  # differs from prompt_id in checks only
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("file_a", sa.Text, nullable=False),
    sa.Column("file_b", sa.Text, nullable=False),
)
trials = sa.Table(
    "trials",
    metadata,
    sa.Column("trial_id", sa.Text, primary_key=True),
    sa.Column("annotator_id", sa.Text, _key("annotators.annotator_id"), nullable=False),
    sa.Column("session_id", sa.Text, _key("sessions.session_id"), nullable=False),
    sa.Column("question_id", sa.Text, _key("questions.question_id"), nullable=False),
    sa.Column("pair_id", sa.Text, _key("pairs.pair_id"), nullable=False),
    sa.Column("left", sa.Text, sa.CheckConstraint("\"left\" IN ('a', 'b')"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),  # from 1 within the annotator
    sa.Column("issued_at", sa.Text, nullable=False),
    sa.UniqueConstraint("annotator_id", "position"),
    sa.UniqueConstraint("annotator_id", "question_id", "pair_id", "kind"),
    sa.Index("trials_by_pair", "kind", "question_id", "pair_id"),
)
votes = sa.Table(
    "votes",
    metadata,
    # Append only: a correction is a row with the next revision that names the one it corrects.
    sa.Column("trial_id", sa.Text, _key("trials.trial_id"), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("corrects", sa.Integer),
    sa.Column("choice", sa.Text, nullable=False),
    sa.Column("response_ms", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
)
