"""The columns of every table that crosses a boundary; an unknown value is an error."""

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from evalkit.errors import TableError, listed, nearest
from evalkit.files import write_text

CHOICES = ("left", "right", "tie", "both_bad")
WINNERS = ("model_a", "model_b", "tie", "both_bad")
TRIAL_KINDS = ("main", "repeat", "attention", "practice")
PAIR_ROLES = ("main", "attention", "practice", "example")
IMAGE_STATUSES = ("ok", "failed", "filtered")
FOILS = ("other_prompt", "pixelated")
SIMULATED = "SIMULATED VOTES"
AGREEMENT_MEASURES = ("krippendorff_alpha", "raw_agreement", "repeat_consistency")
DECISIONS = ("decided", "go on", "cannot be decided")
TIES_RULES = ("half", "drop", "both_bad_apart")
SPEED_SOURCES = ("generation", "bench", "bench with random weights")
PROLIFIC_IDS = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")  # in the address of who comes from there

FIRST_LINE = 2  # line of the first data row in a file with a header, as an editor counts it


@dataclass(frozen=True)
class Column:
    """One column: its name, what its cells hold and which values are allowed."""

    name: str
    kind: Literal["text", "integer", "number", "flag"] = "text"
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


def _text(*names: str, empty: bool = False, required: bool = True) -> tuple[Column, ...]:
    return tuple(Column(name, empty=empty, required=required) for name in names)


def _number(*names: str, empty: bool = True, required: bool = True) -> tuple[Column, ...]:
    return tuple(Column(name, "number", empty=empty, required=required) for name in names)


def _count(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "integer") for name in names)


_VOTE_SOURCE = Column("vote_source", allowed=(SIMULATED,), required=False, empty=True)

PROMPTS = Table(
    "prompts",
    (
        *_text("prompt_id", "prompt"),
        *_text("category", "challenge", empty=True),
        # The input image of an image-to-image study: its file in the study folder, and its hash.
        *_text("input_image", "input_sha256", required=False, empty=True),
    ),
    key=("prompt_id",),
)
IMAGES = Table(
    "images",
    (
        *_text("image_id", "prompt_id", "model"),
        *_count("seed"),
        *_text("file_name", empty=True),
        *_count("width", "height"),
        *_text("sha256", empty=True),
        *_number("seconds"),
        Column("status", allowed=IMAGE_STATUSES),
    ),
    key=("image_id",),
)
PAIRS = Table(
    "pairs",
    (
        *_text("pair_id", "prompt_id"),
        *_count("seed"),
        *_text("model_a", "model_b", "image_a", "image_b"),
    ),
    key=("pair_id",),
)
CHECKS = Table(
    "checks",
    (
        *_text("pair_id", "question_id", "prompt_id", "foil_prompt_id", "model"),
        *_text("image_a", "image_b"),
        Column("role", allowed=PAIR_ROLES[1:], required=False),  # absent before practice existed
        Column("expected", allowed=("a", "b")),
        Column("foil", allowed=FOILS),
    ),
    key=("pair_id",),
)
BLINDED_PAIRS = Table(
    "blinded pairs",
    (
        *_text("pair_id"),
        *_text("question_id", empty=True),
        *_text("matchup", "prompt_id", "foil_prompt_id", "prompt", "file_a", "file_b"),
        Column("role", allowed=PAIR_ROLES),
        Column("expected", allowed=("a", "b"), empty=True),  # the right image of a check
        Column("foil", allowed=FOILS, empty=True),  # what is wrong with the other one
    ),
    key=("pair_id",),
)
TRIALS = Table(
    "trials",
    (
        *_text("trial_id", "annotator_id", "session_id", "question_id", "pair_id"),
        Column("left", allowed=("a", "b")),
        Column("kind", allowed=TRIAL_KINDS),
        *_count("position"),
        *_text("issued_at"),
    ),
    key=("trial_id",),
)
VOTES = Table(
    "votes",
    (
        *_text("trial_id"),
        Column("choice", allowed=CHOICES),  # the last one, as corrected
        *_count("response_ms"),  # until the first answer, and when that was given
        *_text("created_at"),
        Column("revision", "integer", required=False),  # of the choice: 1 where it stands as given
        *_text("reason", "voted_session_id", required=False, empty=True),
    ),
    key=("trial_id",),
)
COMPARISONS = Table(
    "comparisons",
    (
        *_text("trial_id", "annotator_id", "session_id", "question_id", "prompt_id"),
        *_text("category", "challenge", empty=True),
        *_text("model_a", "model_b"),
        Column("winner", allowed=WINNERS),
        *_text("left_model"),
        Column("kind", allowed=TRIAL_KINDS),
        *_count("response_ms"),
        *_text("created_at"),
        *_text("pair_id", required=False, empty=True),  # absent in votes from elsewhere
        *_text("excluded_by", required=False, empty=True),  # rules, by commas; "": the vote counts
        _VOTE_SOURCE,
    ),
    key=("trial_id",),
)
IMPORTED_VOTES = Table(
    "votes",
    (
        *_text("annotator_id", "prompt_id", "question_id", "model_a", "model_b"),
        Column("winner", allowed=WINNERS),
        *_text("left_model", required=False, empty=True),
        Column("response_ms", "integer", required=False, empty=True),
        Column("kind", allowed=TRIAL_KINDS, required=False),
        *_text("trial_id", required=False),
        *_text("session_id", "pair_id", "category", "challenge", required=False, empty=True),
        *_text("created_at", "excluded_by", required=False, empty=True),
        _VOTE_SOURCE,
    ),
)
_WIN_RATE_COLUMNS = (
    *_text("question_id", "model_a", "model_b"),
    *_text("by", required=False),  # a column of the votes, and its value in the row's votes
    *_text("value", required=False, empty=True),
    *_count("wins_a", "wins_b", "ties", "both_bad", "n", "n_prompts", "n_annotators"),
    *_number("win_rate_a", "ci_low", "ci_high", "p_value", "p_holm"),
    *_number("p_holm_all", "p_sign", "n_effective", "both_bad_share", required=False),
    Column("ties_rule", allowed=TIES_RULES, required=False),
    *_text("interval", required=False),
    Column("seed", "integer", required=False, empty=True),
    *_text("method"),
    _VOTE_SOURCE,
)
WIN_RATES = Table(
    "win_rates",
    _WIN_RATE_COLUMNS,
    key=("question_id", "model_a", "model_b", "value"),
)
TIE_RULES = Table(
    "tie_rules",
    _WIN_RATE_COLUMNS,
    key=("question_id", "model_a", "model_b", "ties_rule"),
)
ANYTIME = Table(
    "anytime",
    (
        *_text("question_id", "model_a", "model_b"),
        *_count("n", "n_prompts", "n_annotators"),
        *_count("complete_prompts", "planned_prompts", "planned_votes"),
        *_number("win_rate_a", "ci_low", "ci_high", "e_value", "p_value", "p_holm"),
        Column("decision", allowed=DECISIONS),
        *_text("warning", "method"),
        _VOTE_SOURCE,
    ),
    key=("question_id", "model_a", "model_b"),
)
LEFT_SHARE = Table(
    "left_share",
    (
        *_text("question_id"),
        *_text("by", required=False),
        *_text("value", required=False, empty=True),
        *_count("n_left", "n_right", "ties", "both_bad", "n_unknown"),
        *_count("n", "n_prompts", "n_annotators"),
        *_number("left_share", "ci_low", "ci_high", "p_value", "p_holm", "n_effective"),
        *_number("half_share", "half_low", "half_high", "half_p"),
        *_count("n_half"),
        Column("seed", "integer", required=False, empty=True),
        *_text("method"),
        _VOTE_SOURCE,
    ),
    key=("question_id", "value"),
)
RATINGS = Table(
    "ratings",
    (
        *_text("question_id", "model"),
        *_number("rating", "ci_low", "ci_high", "elo"),
        *_number("rank_low", "rank_high"),
        *_count("n"),
        *_text("method"),
        Column("converged", "flag"),
        *_number("se", "elo_low", "elo_high", required=False),
        Column("tied_for_first", "flag", required=False, empty=True),  # no model shown to be better
        *_number("tie_parameter", required=False),
        *_number("position_effect", "position_low", "position_high", required=False),
        _VOTE_SOURCE,
    ),
    key=("question_id", "model"),
)
STABILITY = Table(
    "stability",
    (
        *_text("question_id", "model"),
        Column("dropped", allowed=("annotator", "prompt")),
        *_number("rating", "largest_change"),
        *_text("without", empty=True),  # whom, or which prompt, that change leaves out
        *_number("rank", "rank_low", "rank_high"),
        *_count("n_refitted", "n_clusters"),
        *_text("method"),
        _VOTE_SOURCE,
    ),
    key=("question_id", "model", "dropped"),
)
ELO = Table(
    "elo",
    (
        *_text("question_id", "model"),
        *_number("elo", "elo_low", "elo_high", "mean_field"),
        *_count("n", "orders", "seed"),
        *_text("method"),
        _VOTE_SOURCE,
    ),
    key=("question_id", "model"),
)
AGREEMENT = Table(
    "agreement",
    (
        *_text("question_id"),
        Column("measure", allowed=AGREEMENT_MEASURES),
        *_number("estimate", "ci_low", "ci_high"),
        *_count("n", "n_units", "n_annotators"),
        *_text("method"),
        *_number("bootstrap_low", "bootstrap_high"),  # over prompts, with these annotators
        Column("seed", "integer", empty=True),
        _VOTE_SOURCE,
    ),
    key=("question_id", "measure"),
)
ANNOTATORS = Table(
    "annotators",
    (
        *_text("annotator_id"),
        *_count("n_votes"),
        *_number("median_ms", "fast_share"),
        *_count("n_decided"),
        *_number("left_share", "left_low", "left_high", "tie_share"),
        *_count("attention_passed", "attention_n", "practice_right", "practice_n"),
        *_count("repeats_consistent", "repeats_n"),
        *_number("agreement"),
        *_count("agreement_n"),
        *_number("outlier_distance"),
        *_count("outlier_n"),
        Column("longest_run", "integer", empty=True),
        *_text("flags", "excluded_by", required=False, empty=True),
        _VOTE_SOURCE,
    ),
    key=("annotator_id",),
)
EXCLUDED = Table(
    "excluded",
    (*_text("annotator_id", "rule"), *_number("value", "limit")),
    key=("annotator_id", "rule"),
)
EXCLUSIONS = Table(
    "exclusions",
    (
        *_text("rule"),
        *_number("limit"),
        Column("least", "integer", empty=True),
        Column("n_judged", "integer", empty=True),
        *_count("n_annotators", "n_votes"),
        _VOTE_SOURCE,
    ),
    key=("rule",),
)
SENSITIVITY = Table(
    "sensitivity",
    (
        *_text("measure", "question_id"),
        *_text("model_a", "model_b", "model", empty=True),
        *_number("estimate", "ci_low", "ci_high"),
        *_count("n"),
        *_number("estimate_all", "ci_low_all", "ci_high_all"),
        *_count("n_all"),
        *_number("change"),
        _VOTE_SOURCE,
    ),
    key=("measure", "question_id", "model_a", "model_b", "model"),
)
SCORES = Table(
    "scores",
    (
        *_text("image_id", "prompt_id", "model"),
        *_count("seed"),
        *_text("metric"),
        *_number("score", empty=False),
        *_text("weights"),
        Column("truncated", "flag"),
    ),
    key=("image_id", "metric", "weights"),
)
MEAN_SCORES = Table(
    "mean scores",
    (
        *_text("metric", "weights", "model"),
        *_number("mean", "ci_low", "ci_high"),
        *_count("n", "n_prompts"),
        *_text("method"),
        _VOTE_SOURCE,
    ),
    key=("metric", "weights", "model"),
)
SPEED = Table(
    "speed",
    (
        *_text("model"),
        *_number("seconds_median", "seconds_low", "seconds_high"),
        *_count("n"),
        Column("source", allowed=SPEED_SOURCES, required=False),
        Column("batch_size", "integer", required=False, empty=True),
        *_text("device_name", required=False, empty=True),
        Column("compiled", "flag", required=False),
        _VOTE_SOURCE,
    ),
    key=("model",),
)


def check(frame: pd.DataFrame, table: Table, where: str) -> pd.DataFrame:
    """A copy of `frame` with the table's columns in order and in their types.

    Columns that the table does not know are dropped; optional ones may be absent. Cells may be
    text (as read from a file) or typed already. An empty frame gives an empty table.

    Raises TableError, with the line number, on a missing column, an empty cell, a value that is
    not allowed, or a key that stands twice.
    """
    for column in table.columns:
        if column.required and column.name not in frame.columns:
            raise TableError(
                f"{where}: column {column.name} is missing (found: {listed(frame.columns)}); "
                f"a {table.name} table needs {listed(c.name for c in table.columns if c.required)}"
                f"{_renamed(column.name, list(frame.columns))}"
            )
    present = [column for column in table.columns if column.name in frame.columns]
    frame = frame.reset_index(drop=True)
    typed = {column.name: _typed(frame[column.name], column, where) for column in present}
    checked = pd.DataFrame(typed, index=frame.index)
    _check_key(checked, table, where)
    return checked


def read(path: Path, table: Table) -> pd.DataFrame:
    """The table in a CSV file (or TSV, by its ending), checked; see `check`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","))
    except FileNotFoundError:
        raise TableError(f"{path}: no such file; a {table.name} table is needed there") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(
            f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8"
        ) from None
    if not rows:
        raise TableError(
            f"{path}: is empty; a {table.name} table begins with a line of column names"
        )
    header, body = rows[0], rows[1:]
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise TableError(f"{path}: column {twice[0]} stands twice; remove or rename one of them")
    for number, row in enumerate(body, start=FIRST_LINE):
        if len(row) != len(header):
            raise TableError(
                f"{path}: line {number}: {len(row)} cells; allowed are {len(header)}, as many as "
                "the header has; correct the row"
            )
    return check(pd.DataFrame(body, columns=header, dtype=object), table, str(path))


def write(frame: pd.DataFrame, path: Path, table: Table) -> None:
    """Write the checked table as CSV, whole or not at all; missing cells are empty."""
    write_text(path, check(frame, table, table.name).to_csv(index=False, lineterminator="\n"))


def label_simulated(frame: pd.DataFrame, simulated: bool) -> pd.DataFrame:
    """The frame, with a column that says SIMULATED VOTES in every row where that is so."""
    return frame.assign(vote_source=SIMULATED) if simulated else frame


def is_simulated(frame: pd.DataFrame) -> bool:
    """Whether any row of the table rests on simulated votes."""
    return "vote_source" in frame.columns and bool((frame["vote_source"] == SIMULATED).any())


def _renamed(wanted: str, found: list[str]) -> str:
    """What to do about a missing column, where the columns found hint at it."""
    if len(found) == 1 and ";" in found[0]:
        return "; its cells are separated by semicolons: save it with commas"
    close = difflib.get_close_matches(wanted, found, n=1, cutoff=0.6)
    return f'; rename "{close[0]}" if that is it' if close else ""


def _typed(cells: pd.Series, column: Column, where: str) -> pd.Series:
    missing = cells.isna() | (cells.astype(str).str.strip() == "")
    if missing.any() and not column.empty:
        _refuse(missing, column, where, "an empty cell")
    if column.kind in ("integer", "number"):
        return _numeric(cells, missing, column, where)
    if column.kind == "flag":
        return _flags(cells, missing, column, where)
    texts = cells.astype(str).where(~missing, "")
    if column.allowed:
        wrong = ~texts.isin([*column.allowed, *([""] if column.empty else [])])
        if wrong.any():
            found = texts[wrong].iloc[0]
            hint = nearest(found, column.allowed)
            _refuse(wrong, column, where, f'"{found}"', f"one of {listed(column.allowed)}{hint}")
    return texts.astype(object)


def _numeric(cells: pd.Series, missing: pd.Series, column: Column, where: str) -> pd.Series:
    numbers = pd.to_numeric(cells.mask(missing), errors="coerce").astype(float)
    wrong = numbers.isna() & ~missing
    if column.kind == "integer":
        wrong |= numbers.notna() & (numbers % 1 != 0)
    if wrong.any():
        what = "a whole number" if column.kind == "integer" else "a number"
        _refuse(wrong, column, where, f'"{cells[wrong].iloc[0]}"', what)
    if column.kind == "integer" and not missing.any():
        return numbers.astype("int64")
    return numbers


def _flags(cells: pd.Series, missing: pd.Series, column: Column, where: str) -> pd.Series:
    flags = cells.astype(str).str.lower().map({"true": True, "false": False})
    wrong = flags.isna() & ~missing
    if wrong.any():
        _refuse(wrong, column, where, f'"{cells[wrong].iloc[0]}"', "true or false")
    return flags.astype("boolean" if column.empty else bool)


def _refuse(
    wrong: pd.Series, column: Column, where: str, found: str, allowed: str = "a value"
) -> None:
    row = int(wrong.to_numpy().argmax()) + FIRST_LINE
    raise TableError(
        f"{where}: line {row}, column {column.name}: {found}; allowed is {allowed}; correct the row"
    )


def _check_key(frame: pd.DataFrame, table: Table, where: str) -> None:
    key = [name for name in table.key if name in frame.columns]
    if not key:
        return
    twice = frame.duplicated(key)
    if twice.any():
        row = int(twice.to_numpy().argmax())
        value = listed(str(v) for v in _values(frame, row, key))
        raise TableError(
            f"{where}: line {row + FIRST_LINE}: {listed(key)} = {value} stands twice; "
            "each row must be named once; remove one of them"
        )


def _values(frame: pd.DataFrame, row: int, names: Sequence[str]) -> list[object]:
    return [frame[name].iloc[row] for name in names]
