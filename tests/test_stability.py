"""Stability: leaving out one is fitting the other votes, and what cannot be left out is told."""

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import tables
from evalkit.analysis.coding import encode
from evalkit.analysis.paired_models import fit
from evalkit.analysis.stability import stability
from tests.paired_votes import ALL_TIES, DISCONNECTED, SEPARATED, comparisons, random_votes


def by_hand(frame, column):
    """Strengths without each cluster, by fitting the votes that are left."""
    return {
        name: fit(encode(frame[frame[column] != name])).strengths for name in set(frame[column])
    }


@pytest.mark.parametrize("at_once", [2**22, 48])  # 48 entries: three clusters of four models
@pytest.mark.parametrize(
    ("dropped", "column"), [("annotator", "annotator_id"), ("prompt", "prompt_id")]
)
def test_leaving_out_one_is_fitting_the_rest(monkeypatch, dropped, column, at_once):
    monkeypatch.setattr(sys.modules[stability.__module__], "_ENTRIES", at_once)
    frame = random_votes(31)
    full = fit(encode(frame)).strengths
    without = by_hand(frame, column)
    found = stability(frame)
    found = found[found["dropped"] == dropped].set_index("model")
    assert found.index.tolist() == [f"m{i}" for i in np.argsort(-full)]
    for code, model in enumerate(["m0", "m1", "m2", "m3"]):
        changes = {name: strengths[code] - full[code] for name, strengths in without.items()}
        worst = max(changes, key=lambda name: abs(changes[name]))
        ranks = [1 + (strengths > strengths[code]).sum() for strengths in without.values()]
        row = found.loc[model]
        assert row["rating"] == pytest.approx(full[code])
        assert row["largest_change"] == pytest.approx(changes[worst], abs=1e-8)
        assert row["without"] == worst
        assert (row["rank_low"], row["rank_high"]) == (min(ranks), max(ranks))
        assert row["n_refitted"] == row["n_clusters"] == len(without)


def test_one_who_votes_against_everybody_is_found():
    frame = random_votes(32, n=800, annotators=10, ties=0)
    contrary = (frame["annotator_id"] == "a3").to_numpy()
    better = frame[["model_a", "model_b"]].min(axis=1)  # m0 is the best
    turned = np.where(better == frame["model_a"], "model_b", "model_a")
    right = np.where(better == frame["model_a"], "model_a", "model_b")
    frame["winner"] = np.where(
        contrary, turned, np.where(np.arange(800) % 4, right, frame["winner"])
    )
    found = stability(frame)
    found = found[found["dropped"] == "annotator"].set_index("model")
    assert found.loc["m0", "without"] == found.loc["m3", "without"] == "a3"
    assert found.loc["m0", "largest_change"] > 0.1
    assert found.loc["m3", "largest_change"] < -0.1


def test_who_carries_the_only_contradiction_cannot_be_left_out():
    frame = pd.concat(
        [
            comparisons([("A", "B", 4, 0, 0)], annotators=2),
            comparisons([("A", "B", 1, 3, 0)], annotators=1).assign(annotator_id="only"),
        ]
    )
    found = stability(frame)
    found = found[found["dropped"] == "annotator"]
    assert found["n_refitted"].tolist() == [2, 2]
    assert found["n_clusters"].tolist() == [3, 3]
    assert found["method"].str.endswith("without only no finite ratings exist").all()
    # Without a0: 2 + 1 won, 3 lost; both fits that exist rate the models alike.
    assert found["largest_change"].abs().tolist() == pytest.approx([np.log(5 / 3) / 2] * 2)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (comparisons(SEPARATED), "A never lost"),
        (comparisons(DISCONNECTED), "2 groups never compared"),
        (random_votes(1).assign(annotator_id="one", prompt_id="one"), "without any one"),
    ],
)
def test_nothing_to_refit_is_told(frame, reason):
    found = stability(frame)
    numbers = ["largest_change", "rank", "rank_low", "rank_high"]
    assert found[numbers].isna().all(axis=None)
    assert (found["n_refitted"] == 0).all()
    assert (found["without"] == "").all()
    assert found["method"].str.contains(reason).all()


def test_all_ties_never_change():
    found = stability(comparisons(ALL_TIES))
    assert found["largest_change"].to_numpy() == pytest.approx(0, abs=1e-12)
    assert (found[["rank", "rank_low", "rank_high"]] == 1).all(axis=None)


def test_no_votes_give_no_rows():
    assert list(stability(random_votes(1).head(0)).columns) == [
        name for name in tables.STABILITY.names if name != "vote_source"
    ]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_order_and_sides_of_the_table_change_nothing(seed):
    frame = random_votes(seed, n=200)
    turned = frame.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    turned["winner"] = turned["winner"].replace({"model_a": "model_b", "model_b": "model_a"})
    turned = turned.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(
        stability(turned).drop(columns="without"),  # two may be equally far
        stability(frame).drop(columns="without"),
        check_exact=False, rtol=1e-6, atol=1e-8,
    )  # fmt: skip


def test_of_those_that_cannot_be_left_out_the_first_by_name_is_told():
    """Whatever the order of the rows: z wins on p1 only and loses on p2 only."""
    rows = [("x", "y", "model_a", "p0"), ("x", "y", "model_b", "p0"), ("y", "z", "model_a", "p2"),
            ("y", "z", "model_b", "p1"), ("x", "y", "model_a", "p3"), ("x", "y", "model_b", "p3"),
            ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["model_a", "model_b", "winner", "prompt_id"])
    frame = frame.assign(question_id="q", annotator_id=["a", "b"] * 3)
    for votes in (frame, frame[::-1]):
        by_prompt = stability(votes).query("dropped == 'prompt'")
        assert by_prompt["method"].str.contains("; without p1 .and 1 other, each. no finite").all()
