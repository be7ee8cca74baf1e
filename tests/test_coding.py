"""Votes as codes: what each code means, for every kind of column a table may have."""

import numpy as np
import pandas as pd
import pytest

from evalkit.analysis.coding import BOTH_BAD, FIRST_WON, SECOND_WON, TIE, encode
from evalkit.errors import TableError

ROWS = [
    ("a2", "p1", "x", "y", "model_a", "x"),
    ("a1", "p2", "y", "x", "model_a", "y"),
    ("a1", "p1", "y", "x", "model_b", "y"),
    ("a3", "p2", "x", "z", "tie", ""),
    ("a3", "p3", "z", "x", "both_bad", "x"),
]
COLUMNS = ["annotator_id", "prompt_id", "model_a", "model_b", "winner", "left_model"]


def frame(rows=ROWS, dtype=object):
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object).astype(dtype)


@pytest.mark.parametrize("dtype", [object, "str", "category"])
def test_codes_by_hand(dtype):
    votes = encode(frame(dtype=dtype))
    assert votes.models == ("x", "y", "z")
    assert votes.first.tolist() == [0, 0, 0, 0, 0]
    assert votes.second.tolist() == [1, 1, 1, 2, 2]
    # y won as model_a of (y, x): the second by name; x won as model_b of (y, x): the first.
    assert votes.outcome.tolist() == [FIRST_WON, SECOND_WON, FIRST_WON, TIE, BOTH_BAD]
    assert votes.left.tolist() == [1, -1, -1, 0, 1]
    assert votes.points.tolist() == [1, 0, 1, 0.5, 0.5]
    assert votes.is_decided.tolist() == [True, True, True, False, False]
    assert votes.prompt.tolist() == [0, 1, 0, 1, 2]
    assert votes.annotator.tolist() == [1, 0, 0, 2, 2]  # by name
    assert (votes.n, votes.n_prompts, votes.n_annotators) == (5, 3, 3)


def test_pairs_alone_have_models_and_outcomes_and_one_cluster():
    whole, pairs = encode(frame()), encode(frame(), pairs_only=True)
    for name in ("first", "second", "outcome"):
        assert getattr(pairs, name).tolist() == getattr(whole, name).tolist()
    assert (pairs.n_prompts, pairs.n_annotators) == (1, 1)
    assert set(pairs.left) == {0}


@pytest.mark.parametrize("pairs_only", [True, False])
def test_no_rows_give_empty_vectors(pairs_only):
    votes = encode(frame([]), pairs_only=pairs_only)
    assert (votes.models, votes.n, votes.n_prompts) == ((), 0, 0)
    assert votes.points.shape == votes.left.shape == (0,)


def test_a_side_that_is_missing_is_unknown():
    rows = [(*row[:5], None) for row in ROWS]
    assert set(encode(frame(rows)).left) == {0}
    assert set(encode(frame().drop(columns="left_model")).left) == {0}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("winner", "modela", 'column winner: "modela".*did you mean "model_a"'),
        ("winner", None, "row 2, column winner: an empty cell"),
        ("prompt_id", None, "row 2, column prompt_id: an empty cell"),
        ("annotator_id", np.nan, "row 2, column annotator_id: an empty cell"),
        ("model_b", "y", 'row 2, column model_b: "y" is compared with itself'),
    ],
)
def test_what_is_no_vote_is_refused(column, value, said):
    votes = frame()
    votes.loc[1, column] = value
    with pytest.raises(TableError, match=said):
        encode(votes)
