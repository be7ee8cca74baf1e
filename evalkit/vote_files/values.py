"""What the cells of a vote file may hold: checked once per different text, refused by place."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pandas as pd

from evalkit.errors import listed, nearest
from evalkit.tables import MEAN_OF_QUESTIONS, Column

Refuse = Callable[[int, str, str], NoReturn]  # row (from 0), column, why

MISSING = frozenset(
    ("nan", "NaN", "NAN", "None", "null", "NULL", "Null", "<NA>", "NA", "N/A", "n/a", "NaT")
)
_WHOLE = re.compile(r"[0-9]{1,15}(\.0+)?")  # \d would take the digits of every script
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # Unicode: control, format, surrogate, breaks
MODELS = ("model_a", "model_b")
_NAMES = (MODELS, ("annotator_id",), ("prompt_id",), ("question_id",))  # columns of one kind


@dataclass(frozen=True)
class Values:
    """The different texts of a column, and the first row (from 0) in which each stands."""

    texts: np.ndarray
    rows: np.ndarray


def values_of(cells: np.ndarray) -> Values:
    """The different texts of an array of cells."""
    codes, texts = pd.factorize(cells)
    rows = np.empty(len(texts), dtype=np.int64)
    rows[codes[::-1]] = np.arange(len(codes))[::-1]  # the last to be written is the first row
    return Values(texts, rows)


def check_column(column: Column, values: Values, refuse: Refuse) -> None:
    """Refuse the first cell that the column does not allow.

    That is an empty one where it must be filled, one of the texts that stand for a missing value,
    one with blanks around it or a character that is not seen, a question named as a row of the
    results, and one that is not in the column's list or is not a whole number of zero or more where
    such a number belongs.
    """
    wrong = [(row, why) for row, why in _wrong(column, values) if why]
    if wrong:
        row, why = min(wrong)
        refuse(row, column.name, why)


def check_names(columns: Mapping[str, Values], refuse: Refuse) -> None:
    """Refuse a model, annotator, prompt or question that differs from another by blanks only."""
    for kind in _NAMES:
        _check_spelling({name: columns[name] for name in kind}, refuse)


def _check_spelling(columns: Mapping[str, Values], refuse: Refuse) -> None:
    if not any(len(text.split()) > 1 for values in columns.values() for text in values.texts):
        return
    spelled: dict[str, str] = {}
    found = [
        (int(row), column, text)
        for column, values in columns.items()
        for row, text in zip(values.rows, values.texts, strict=True)
    ]
    for row, column, text in sorted(found):
        other = spelled.setdefault("".join(text.split()), text)
        if other != text:
            refuse(
                row,
                column,
                f'"{text}" differs by a blank from "{other}", which stands before it; allowed '
                "is one spelling per name; correct one of them",
            )


def in_one_line(sentence: str) -> str:
    """The sentence with every character that is not seen (a line break, say) as its escape."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in sentence
    )


def check_pairs(pairs: pd.DataFrame, refuse: Refuse) -> None:
    """Refuse a model compared with itself, and a left_model that is neither of the two.

    `pairs` has the columns model_a, model_b, left_model where it is known, and row: the first row
    of each combination.
    """
    itself = pairs[pairs["model_a"] == pairs["model_b"]]
    if not itself.empty:
        first = itself.loc[itself["row"].idxmin()]
        refuse(
            int(first["row"]),
            "model_a",
            f'"{first["model_a"]}" is compared with itself; a comparison needs two models; correct '
            "the row",
        )
    if "left_model" not in pairs.columns:
        return
    left = pairs["left_model"]
    strange = pairs[(left != "") & (left != pairs["model_a"]) & (left != pairs["model_b"])]
    if not strange.empty:
        first = strange.loc[strange["row"].idxmin()]
        refuse(
            int(first["row"]),
            "left_model",
            f'"{first["left_model"]}" is neither model_a nor model_b; name the model that lay '
            "left, or leave it empty",
        )


def _wrong(column: Column, values: Values) -> list[tuple[int, str]]:
    rule = _whole_number if column.kind == "integer" else _text
    return [
        (int(row), rule(column, text)) for row, text in zip(values.rows, values.texts, strict=True)
    ]


def _text(column: Column, text: str) -> str:
    """Why the text may not stand in the column; empty where it may."""
    if not text.strip():
        return (
            ""
            if column.empty and not text
            else "an empty cell; allowed is a value; correct the row"
        )
    if column.allowed:
        if text in column.allowed:
            return ""
        hint = nearest(text, column.allowed)
        return f'"{text}"; allowed is one of {listed(column.allowed)}{hint}; correct the row'
    if text != text.strip():
        return f'"{text}" has blanks around it and would be another name; remove them'
    if unseen := _unseen(text):
        return (
            f'"{text}" holds a character that is not seen (U+{ord(unseen):04X}) and would be '
            "another name; remove it"
        )
    if text in MISSING:
        return f'"{text}" stands for a missing value; allowed is a name; correct the row'
    if column.name == "question_id" and text == MEAN_OF_QUESTIONS:
        return f'"{text}" is what the results call their mean; give the question another name'
    return ""


def _unseen(text: str) -> str:
    """The first character that is not seen; empty where all are."""
    if text.isprintable():
        return ""
    return next((one for one in text if unicodedata.category(one) in _UNSEEN), "")


def _whole_number(column: Column, text: str) -> str:
    if not text:
        return "" if column.empty else "an empty cell; allowed is a value; correct the row"
    if _WHOLE.fullmatch(text):
        return ""
    return f'"{text}"; allowed is a whole number of zero or more, at most 15 digits; correct it'
