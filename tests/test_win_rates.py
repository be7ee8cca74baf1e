"""Win rates: counted by hand, the same whichever way round a pair stands."""

import numpy as np
import pandas as pd
import pytest

from evalkit import tables
from evalkit.analysis.win_rates import win_rates
from tests.reference import FOLDER, needs_reference, read_json

COLUMNS = ["annotator_id", "prompt_id", "question_id", "model_a", "model_b", "winner"]


def frame(rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def test_counts_and_rate_by_hand():
    rows = [
        ("a1", "p1", "quality", "x", "y", "model_a"),
        ("a2", "p1", "quality", "x", "y", "model_a"),
        ("a1", "p2", "quality", "y", "x", "model_a"),  # y before x: the same pair
        ("a2", "p2", "quality", "y", "x", "tie"),
        ("a1", "p3", "quality", "x", "y", "both_bad"),
    ]
    row = win_rates(frame(rows)).iloc[0]
    counted = ["wins_a", "wins_b", "ties", "both_bad", "n", "n_prompts", "n_annotators"]
    assert row[["model_a", "model_b"]].tolist() == ["x", "y"]
    assert row[counted].tolist() == [2, 1, 1, 1, 5, 3, 2]
    assert row["win_rate_a"] == (2 + 0.5 + 0.5) / 5
    assert "half" in row["method"]


def test_repeats_and_checks_do_not_count():
    rows = frame([("a1", "p1", "q", "x", "y", "model_a"), ("a1", "p1", "q", "x", "y", "model_b")])
    counted = win_rates(rows.assign(kind=["main", "repeat"]))
    assert counted[["wins_a", "wins_b", "n"]].to_numpy().tolist() == [[1, 0, 1]]


def test_swapping_the_names_mirrors_the_table():
    rng = np.random.default_rng(0)
    votes = frame(
        [(f"a{i % 7}", f"p{i % 11}", "q", "x", "y", rng.choice(tables.WINNERS)) for i in range(200)]
    )
    swap = {"model_a": "model_b", "model_b": "model_a"}
    mirrored = votes.assign(winner=votes["winner"].replace(swap))
    one, other = win_rates(votes).iloc[0], win_rates(mirrored).iloc[0]
    assert one["win_rate_a"] == pytest.approx(1 - other["win_rate_a"])
    assert (one["ci_low"], one["ci_high"]) == pytest.approx(
        (1 - other["ci_high"], 1 - other["ci_low"])
    )
    assert one["p_value"] == pytest.approx(other["p_value"])


def test_no_votes_give_an_empty_table_with_its_columns():
    empty = win_rates(frame([]))
    assert empty.empty
    assert [c for c in tables.WIN_RATES.names if c != "vote_source"] == list(empty.columns)


@needs_reference
def test_the_reference_votes():
    votes = tables.read(FOLDER / "reference" / "votes_t2i.csv", tables.IMPORTED_VOTES)
    found = win_rates(votes).set_index(["question_id", "model_a", "model_b"])
    reference = read_json("votes_t2i_pairs.json")["quality"]
    assert len(reference) == 10
    for row in reference:
        low, high = sorted([row["a"], row["b"]])
        ours = found.loc[("quality", low, high)]
        wins, losses = (
            (row["wins"], row["losses"]) if low == row["a"] else (row["losses"], row["wins"])
        )
        rate = row["win_rate_half"] if low == row["a"] else 1 - row["win_rate_half"]
        assert ours[["wins_a", "wins_b", "ties", "n"]].tolist() == [
            wins,
            losses,
            row["ties"],
            row["n"],
        ]
        assert ours["win_rate_a"] == pytest.approx(rate, abs=1e-12)
        # The interval is wider than that of independent votes, and holds the rate.
        assert ours["ci_low"] < rate < ours["ci_high"]
        assert ours["ci_high"] - ours["ci_low"] > 2 * 1.96 * row["se_twoway"] * 0.98
