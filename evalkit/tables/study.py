"""Tables of a study: prompts, images, pairs, trials, votes, comparisons, scores."""

from evalkit.tables.columns import (
    CHOICES,
    FOILS,
    IMAGE_STATUSES,
    PAIR_ROLES,
    TRIAL_KINDS,
    VOTE_SOURCE,
    WINNERS,
    Column,
    Table,
    count,
    file,
    number,
    text,
)

# What a metric's number is about, as a hash (`evalkit.content`); absent in tables of before.
CONTENT = Column("content", required=False, empty=True)

PROMPTS = Table(
    "prompts",
    (
        *text("prompt_id", "prompt"),
        *text("category", "challenge", empty=True),
        # The input image of an image-to-image study: its file in the study folder, and its hash.
        *file("input_image", required=False, empty=True),
        *text("input_sha256", required=False, empty=True),
    ),
    key=("prompt_id",),
)
IMAGES = Table(
    "images",
    (
        *text("image_id", "prompt_id", "model"),
        *count("seed"),
        *file("file_name", empty=True),
        *count("width", "height"),
        *text("sha256", empty=True),
        *number("seconds"),
        Column("status", allowed=IMAGE_STATUSES),
    ),
    key=("image_id",),
)
PAIRS = Table(
    "pairs",
    (
        *text("pair_id", "prompt_id"),
        *count("seed"),
        *text("model_a", "model_b", "image_a", "image_b"),
    ),
    key=("pair_id",),
)
CHECKS = Table(
    "checks",
    (
        *text("pair_id", "question_id", "prompt_id", "foil_prompt_id", "model"),
        *text("image_a", "image_b"),
        Column("role", allowed=PAIR_ROLES[1:], required=False),  # absent before practice existed
        Column("expected", allowed=("a", "b")),
        Column("foil", allowed=FOILS),
    ),
    key=("pair_id",),
)
BLINDED_PAIRS = Table(
    "blinded pairs",
    (
        *text("pair_id"),
        *text("question_id", empty=True),
        *text("matchup", "prompt_id", "foil_prompt_id", "prompt"),
        *file("file_a", "file_b"),
        Column("role", allowed=PAIR_ROLES),
        Column("expected", allowed=("a", "b"), empty=True),  # the right image of a check
        Column("foil", allowed=FOILS, empty=True),  # what is wrong with the other one
    ),
    key=("pair_id",),
)
TRIALS = Table(
    "trials",
    (
        *text("trial_id", "annotator_id", "session_id", "question_id", "pair_id"),
        Column("left", allowed=("a", "b")),
        Column("kind", allowed=TRIAL_KINDS),
        *count("position"),
        *text("issued_at"),
    ),
    key=("trial_id",),
)
VOTES = Table(
    "votes",
    (
        *text("trial_id"),
        Column("choice", allowed=CHOICES),  # the last one, as corrected
        *count("response_ms"),  # until the first answer, and when that was given
        *text("created_at"),
        Column("revision", "integer", required=False),  # of the choice: 1 where it stands as given
        *text("reason", "voted_session_id", required=False, empty=True),
    ),
    key=("trial_id",),
)
COMPARISONS = Table(
    "comparisons",
    (
        *text("trial_id", "annotator_id", "session_id", "question_id", "prompt_id"),
        *text("category", "challenge", empty=True),
        *text("model_a", "model_b"),
        Column("winner", allowed=WINNERS),
        *text("left_model"),
        Column("kind", allowed=TRIAL_KINDS),
        *count("response_ms"),
        *text("created_at"),
        *text("pair_id", required=False, empty=True),  # absent in votes from elsewhere
        *text("excluded_by", required=False, empty=True),  # rules, by commas; "": the vote counts
        VOTE_SOURCE,
    ),
    key=("trial_id",),
)
IMPORTED_VOTES = Table(
    "votes",
    (
        *text("annotator_id", "prompt_id", "question_id", "model_a", "model_b"),
        Column("winner", allowed=WINNERS),
        *text("left_model", required=False, empty=True),
        Column("response_ms", "integer", required=False, empty=True),
        Column("kind", allowed=TRIAL_KINDS, required=False),
        *text("trial_id", required=False),
        *text("session_id", "pair_id", "category", "challenge", required=False, empty=True),
        *text("created_at", "excluded_by", required=False, empty=True),
        VOTE_SOURCE,
    ),
)
SCORES = Table(
    "scores",
    (
        *text("image_id", "prompt_id", "model"),
        *count("seed"),
        *text("metric"),
        *number("score", empty=False),
        *text("weights"),
        Column("truncated", "flag"),
        *number("cosine", required=False),  # of embeddings, where the score rests on one
        CONTENT,
    ),
    key=("image_id", "metric", "weights"),
)
JUDGEMENTS = Table(
    "judgements",
    (
        *text("question_id", "pair_id", "prompt_id"),
        *count("seed"),
        *text("model_a", "model_b", "metric", "weights"),
        *number("a_when_first", "a_when_second", empty=False),  # probability that a is preferred
        *number("score", empty=False),  # their mean
        CONTENT,
    ),
    key=("question_id", "pair_id", "metric", "weights"),
)
SET_SCORES = Table(
    "set scores",
    (
        *text("metric", "weights", "model"),
        *number("score", empty=False),
        *number("ci_low", "ci_high"),
        *count("n", "n_reference"),
        *text("reference", "method"),
        CONTENT,
        VOTE_SOURCE,
    ),
    key=("metric", "weights", "model", "reference"),
)
SPREADS = Table(
    "spreads",
    (
        *text("prompt_id", "model", "metric", "weights"),
        *number("score", empty=False),
        *count("n"),
        CONTENT,
    ),
    key=("prompt_id", "model", "metric", "weights"),
)
