"""The tables of the vote database; no model name has a place in them."""

import sqlalchemy as sa

SCHEMA_VERSION = 2

# The names that PostgreSQL gives by itself, so that they are the same everywhere.
NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}

metadata = sa.MetaData(naming_convention=NAMES)


def _key(target: str) -> sa.ForeignKey:
    return sa.ForeignKey(target, ondelete="RESTRICT")


def _one_of(column: str, *allowed: str) -> sa.CheckConstraint:
    values = ", ".join(f"'{value}'" for value in allowed)
    return sa.CheckConstraint(f'"{column}" IN ({values})', name=column)


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
    sa.Column("token_sha256", sa.Text, unique=True),  # of a personal link
    sa.Column("simulated", sa.Boolean, nullable=False),
    sa.Column("invited_at", sa.Text, nullable=False),
    sa.Column("consented_at", sa.Text),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("external_id", sa.Text, unique=True),  # Prolific's
    sa.Column("external_sha256", sa.Text, unique=True),  # of that, which withdrawal deletes
    sa.Column("external_session", sa.Text),  # Prolific's, the last one; names what is paid
    sa.Column("consent_version", sa.Text),
    sa.Column("instructed_at", sa.Text),
    sa.Column("finished_at", sa.Text),
    sa.Column("last_seen_at", sa.Text),
    sa.Column("place_until", sa.Text),  # when the place may go to somebody else
    sa.Column("withdrawn_at", sa.Text),
    sa.Column("blocked_at", sa.Text),
    sa.Column("blocked_reason", sa.Text),
    _one_of("entry", "personal", "prolific", "open"),
)
logins = sa.Table(
    "logins",
    metadata,
    sa.Column("secret_sha256", sa.Text, primary_key=True),  # of a cookie
    sa.Column("annotator_id", sa.Text, _key("annotators.annotator_id"), nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Index("logins_by_annotator", "annotator_id"),
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
    sa.Column("screen_width", sa.Integer),  # CSS pixels
    sa.Column("screen_height", sa.Integer),  # CSS pixels
    sa.Index("sessions_by_annotator", "annotator_id"),
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
    sa.Column("question_id", sa.Text, _key("questions.question_id")),  # empty in main pairs only
    sa.Column("matchup", sa.Text, nullable=False),  # opaque code
    sa.Column("prompt_id", sa.Text, nullable=False),
    sa.Column("foil_prompt_id", sa.Text, nullable=False),  # differs from prompt_id in checks only
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("file_a", sa.Text, nullable=False),
    sa.Column("file_b", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("expected", sa.Text),  # the right image of a check
    sa.Column("foil", sa.Text),  # what is wrong with the other one
    _one_of("role", "main", "attention", "practice", "example"),
    _one_of("expected", "a", "b"),
)
trials = sa.Table(
    "trials",
    metadata,
    sa.Column("trial_id", sa.Text, primary_key=True),
    sa.Column("annotator_id", sa.Text, _key("annotators.annotator_id"), nullable=False),
    sa.Column("session_id", sa.Text, _key("sessions.session_id"), nullable=False),
    sa.Column("question_id", sa.Text, _key("questions.question_id"), nullable=False),
    sa.Column("pair_id", sa.Text, _key("pairs.pair_id"), nullable=False),
    sa.Column("left", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),  # from 1 within the annotator
    sa.Column("issued_at", sa.Text, nullable=False),
    sa.Column("lease_until", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    _one_of("left", "a", "b"),
    _one_of("kind", "main", "repeat", "attention", "practice"),
    _one_of("state", "open", "voted", "expired", "returned"),
    sa.UniqueConstraint("annotator_id", "position"),
    sa.UniqueConstraint("annotator_id", "question_id", "pair_id", "kind"),
    sa.Index("trials_by_lease", "state", "lease_until"),
)
tallies = sa.Table(
    "tallies",
    metadata,
    # A row per question and main pair, changed with the trials and votes it counts.
    sa.Column("question_id", sa.Text, _key("questions.question_id"), primary_key=True),
    sa.Column("pair_id", sa.Text, _key("pairs.pair_id"), primary_key=True),
    sa.Column("issued", sa.Integer, nullable=False),
    sa.Column("voted", sa.Integer, nullable=False),
    sa.Column("open", sa.Integer, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),  # grows from change to change; 0: never
    sa.Index("tallies_by_change", "changed"),
)
matchup_tallies = sa.Table(
    "matchup_tallies",
    metadata,
    sa.Column("question_id", sa.Text, _key("questions.question_id"), primary_key=True),
    sa.Column("matchup", sa.Text, primary_key=True),
    sa.Column("a", sa.Integer, nullable=False),  # votes on main trials for image a, as they stand
    sa.Column("b", sa.Integer, nullable=False),
    sa.Column("ties", sa.Integer, nullable=False),  # tie and both_bad
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
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text, _key("sessions.session_id")),
)
log = sa.Table(
    "log",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("annotator_id", sa.Text, _key("annotators.annotator_id")),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    _one_of("actor", "annotator", "coordinator", "app"),
)
