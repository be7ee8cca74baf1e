"""How others keep votes, turned into the columns of `tables.IMPORTED_VOTES`.

Each format names the columns it needs and those it can use, and turns their cells.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evalkit import tables
from evalkit.errors import listed
from evalkit.vote_files.cells import Cells

QUESTION = "preference"  # of logs that ask one thing only
_ARENA_WINNERS = {
    "model_a": "model_a",
    "model_b": "model_b",
    "tie": "tie",
    "tie (bothbad)": "both_bad",
    "both_bad": "both_bad",
}
_ARENA_PROMPTS = ("prompt_id", "question_id")  # the first that the file has
_ARENA_ANNOTATORS = ("judge", "evaluation_session_id")
_OWN = ("vote_source", "kind", "excluded_by", "annotator_id")  # no log of others has these
_PICKAPIC_WINNERS = {(1.0, 0.0): "model_a", (0.0, 1.0): "model_b", (0.5, 0.5): "tie"}


@dataclass(frozen=True)
class Turned:
    """Cells in the project's own columns, and what was left out or put in on the way.

    `left_out` counts rows that hold no blind vote on two models, by reason; `unknown` names the
    columns (annotator_id, prompt_id) that the file lacks, so that every row got an id of its own.
    """

    cells: Cells
    left_out: dict[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """One way of keeping votes."""

    name: str
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    turn: Callable[[Cells], Turned]


def own_columns(found: Sequence[str], form: Format) -> list[str]:
    """The columns that only a table of `tables.IMPORTED_VOTES` has, and that the format loses."""
    own = [name for name in _OWN if name in found and name not in form.uses]
    return own or (["question_id"] if {"question_id", "prompt_id"} <= set(found) else [])


def _turn_arena(cells: Cells) -> Turned:
    """One row per battle; a battle in which the names were shown (anony) is left out."""
    cells, shown = _keep_flagged(cells, "anony")
    columns, names, unknown = dict(cells.columns), {}, []
    for wanted, given in (("prompt_id", _ARENA_PROMPTS), ("annotator_id", _ARENA_ANNOTATORS)):
        source = next((name for name in given if name in columns), None)
        if source is None:
            unknown.append(wanted)
        columns[wanted] = _own_ids(cells) if source is None else columns[source]
        names[wanted] = source or wanted
    columns["winner"] = _mapped(cells, "winner", _ARENA_WINNERS)
    columns["question_id"] = _repeated(QUESTION, cells.n)
    known = {name: columns[name] for name in tables.IMPORTED_VOTES.names if name in columns}
    left_out = {"the names were shown (anony is false)": shown} if shown else {}
    return Turned(replace(cells, columns=known, names=names), left_out, tuple(unknown))


def _turn_pickapic(cells: Cells) -> Turned:
    """One row per ranking of two images; unlabelled ones and those of one model are left out."""
    cells, unlabelled = _keep_flagged(cells, "has_label")
    columns = cells.columns
    for name in ("model_0", "model_1"):
        empty = columns[name] == ""
        if empty.any():
            cells.refuse(int(empty.argmax()), name, "an empty cell; allowed is a model's name")
    two = columns["model_0"] != columns["model_1"]
    left_out = {
        "no label (has_label is false)": unlabelled,
        "two images of one model": (~two).sum(),
    }
    cells = cells.take(two)
    turned = {
        "annotator_id": cells.columns["user_id"],
        "prompt_id": _hashed(cells.columns["caption"]),
        "question_id": _repeated(QUESTION, cells.n),
        "model_a": cells.columns["model_0"],
        "model_b": cells.columns["model_1"],
        "winner": _labelled(cells),
    }
    for name, source in (
        ("trial_id", "ranking_id"),
        ("created_at", "created_at"),
        ("vote_source", "vote_source"),  # of evalkit's own exports: simulated votes stay so
    ):
        if source in cells.columns:
            turned[name] = cells.columns[source]
    names = {
        "annotator_id": "user_id", "prompt_id": "caption", "model_a": "model_0",
        "model_b": "model_1", "trial_id": "ranking_id",
    }  # fmt: skip
    left_out = {why: int(n) for why, n in left_out.items() if n}
    return Turned(replace(cells, columns=turned, names=names), left_out)


def _keep_flagged(cells: Cells, column: str) -> tuple[Cells, int]:
    """The rows whose flag is true, and how many are not; all of them without the column."""
    if column not in cells.columns:
        return cells, 0
    flags = _mapped(cells, column, {"true": True, "false": False, "1": True, "0": False})
    flags = flags.astype(bool)
    return cells.take(flags), int((~flags).sum())


def _mapped(cells: Cells, column: str, allowed: dict[str, object]) -> np.ndarray:
    """What each cell stands for; TableError on a cell that is not allowed.

    `True` and `False` as Python writes them are `true` and `false`.
    """
    written = {
        **allowed,
        **{k.capitalize(): v for k, v in allowed.items() if k in ("true", "false")},
    }
    found = cells.columns[column]
    for row in _first_of_others(found, written):
        cells.refuse(
            row, column, f'"{found[row]}"; allowed is one of {listed(allowed)}; correct the row'
        )
    return np.array([written[cell] for cell in found], dtype=object)


def _first_of_others(found: np.ndarray, allowed: dict[str, object]) -> list[int]:
    return next(([row] for row, cell in enumerate(found) if cell not in allowed), [])


def _labelled(cells: Cells) -> np.ndarray:
    """The winner that label_0 and label_1 name."""
    pairs = zip(cells.columns["label_0"], cells.columns["label_1"], strict=True)
    winners = np.empty(cells.n, dtype=object)
    for row, labels in enumerate(pairs):
        try:
            winners[row] = _PICKAPIC_WINNERS[float(labels[0]), float(labels[1])]
        except (ValueError, KeyError):
            cells.refuse(
                row,
                "label_0",
                f'"{labels[0]}" with label_1 "{labels[1]}"; allowed are 1 and 0, 0 and 1, or 0.5 '
                "twice for a tie; correct the row",
            )
    return winners


def _hashed(captions: np.ndarray) -> np.ndarray:
    """A short id per caption; an empty caption stays empty, and is refused later."""
    ids = {text: hashlib.sha256(text.encode()).hexdigest()[:16] for text in set(captions) if text}
    return np.array([ids.get(text, "") for text in captions], dtype=object)


def _own_ids(cells: Cells) -> np.ndarray:
    return np.array([f"{cells.counted}-{number}" for number in cells.numbers], dtype=object)


def _repeated(text: str, n: int) -> np.ndarray:
    return np.full(n, text, dtype=object)


FORMATS = {
    form.name: form
    for form in (
        Format(
            "evalkit",
            tuple(column.name for column in tables.IMPORTED_VOTES.columns if column.required),
            tuple(column.name for column in tables.IMPORTED_VOTES.columns if not column.required),
            Turned,
        ),
        Format(
            "arena",
            ("model_a", "model_b", "winner"),
            (*_ARENA_PROMPTS, *_ARENA_ANNOTATORS, "anony"),
            _turn_arena,
        ),
        Format(
            "pickapic",
            ("model_0", "model_1", "label_0", "label_1", "caption", "user_id"),
            ("has_label", "ranking_id", "created_at", "vote_source"),
            _turn_pickapic,
        ),
    )
}
