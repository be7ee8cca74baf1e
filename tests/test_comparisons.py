"""Comparisons: names put back on the right side; votes from elsewhere checked at the door."""

import itertools

import pandas as pd
import pytest

from evalkit.comparisons import attention_answers, unblind
from evalkit.errors import TableError

PAIRS = pd.DataFrame(
    [("k1", "p1", 0, "turbo", "xl", "i1", "i2")],
    columns=["pair_id", "prompt_id", "seed", "model_a", "model_b", "image_a", "image_b"],
)
PROMPTS = pd.DataFrame(
    [("p1", "a cat", "Animals", "Basic")],
    columns=["prompt_id", "prompt", "category", "challenge"],
)


def trials(*rows):
    columns = ["trial_id", "pair_id", "left", "kind"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(
        annotator_id="ann", session_id="s", question_id="quality", position=1, issued_at="t0"
    )


def votes(*rows):
    frame = pd.DataFrame(rows, columns=["trial_id", "choice"])
    return frame.assign(response_ms=900, created_at="t1")


def test_every_side_and_choice_names_the_right_winner():
    expected = {
        ("a", "left"): "model_a",
        ("a", "right"): "model_b",
        ("b", "left"): "model_b",
        ("b", "right"): "model_a",
        ("a", "tie"): "tie",
        ("b", "both_bad"): "both_bad",
    }
    cases = list(itertools.product("ab", ["left", "right", "tie", "both_bad"]))
    shown = trials(*[(f"t{i}", "k1", left, "main") for i, (left, _) in enumerate(cases)])
    cast = votes(*[(f"t{i}", choice) for i, (_, choice) in enumerate(cases)])
    found = unblind(cast, shown, PAIRS, PROMPTS, set()).set_index("trial_id")
    for i, case in enumerate(cases):
        if case in expected:
            assert found.loc[f"t{i}", "winner"] == expected[case]
        assert found.loc[f"t{i}", "left_model"] == {"a": "turbo", "b": "xl"}[case[0]]
    assert found["category"].tolist() == ["Animals"] * 8


def test_unvoted_trials_checks_and_practice_give_no_comparison():
    shown = trials(
        ("t1", "k1", "a", "main"),
        ("t2", "k1", "b", "main"),
        ("t3", "c", "a", "attention"),
        ("t4", "d", "a", "practice"),
        ("t5", "k1", "b", "repeat"),
    )
    cast = votes(("t1", "left"), ("t3", "left"), ("t4", "right"), ("t5", "left"))
    found = unblind(cast, shown, PAIRS, PROMPTS, set())
    assert found.set_index("trial_id")["kind"].to_dict() == {"t1": "main", "t5": "repeat"}


def test_simulated_annotators_mark_their_rows():
    shown, cast = trials(("t1", "k1", "a", "main")), votes(("t1", "left"))
    assert "vote_source" not in unblind(cast, shown, PAIRS, PROMPTS, set())
    marked = unblind(cast, shown, PAIRS, PROMPTS, {"ann"})
    assert marked["vote_source"].tolist() == ["SIMULATED VOTES"]


def test_a_pair_of_another_study_is_refused():
    shown = trials(("t1", "other", "a", "main"))
    with pytest.raises(TableError, match="pairs: no pair_id other for trial t1.*pairs.csv"):
        unblind(votes(("t1", "left")), shown, PAIRS, PROMPTS, set())


def test_a_vote_without_its_prompt_or_check_is_not_dropped():
    shown = trials(("t1", "k1", "a", "main"), ("t2", "c1", "a", "attention"))
    cast = votes(("t1", "left"), ("t2", "left"))
    with pytest.raises(TableError, match="prompts: no prompt_id p1 for trial t1.*prompts.csv"):
        unblind(cast, shown, PAIRS, PROMPTS.head(0), set())
    checks = pd.DataFrame({"pair_id": ["c2"], "expected": ["a"]})
    with pytest.raises(TableError, match="checks: no pair_id c1 for trial t2.*checks.csv"):
        attention_answers(cast, shown, checks)


def test_a_check_is_passed_on_the_expected_side_only():
    checks = pd.DataFrame({"pair_id": ["c1", "c2"], "expected": ["a", "b"]})
    shown = trials(*[(f"t{i}", pair, left, "attention") for i, (pair, left) in enumerate(
        [("c1", "a"), ("c1", "b"), ("c2", "a"), ("c2", "a")])])  # fmt: skip
    cast = votes(("t0", "left"), ("t1", "left"), ("t2", "right"), ("t3", "tie"))
    answers = attention_answers(cast, shown, checks).set_index("trial_id")["passed"]
    assert answers.to_dict() == {"t0": True, "t1": False, "t2": True, "t3": False}


def test_practice_is_no_answered_check():
    """Its right side is told, and it is there to be failed: it says nothing of who looks."""
    checks = pd.DataFrame({"pair_id": ["c1", "d1"], "expected": ["a", "a"]})
    shown = trials(("t1", "d1", "a", "practice"), ("t2", "c1", "a", "attention"))
    answers = attention_answers(votes(("t1", "right"), ("t2", "left")), shown, checks)
    assert answers["trial_id"].tolist() == ["t2"]
    assert answers["passed"].tolist() == [True]
