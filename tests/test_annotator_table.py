"""The table of annotators: by arithmetic, and against a plain second implementation."""

from math import isnan, sqrt

import numpy as np
import pandas as pd
import pytest

from evalkit import tables
from evalkit.analysis.annotators import (
    COLUMNS,
    FLAGS,
    annotator_table,
    annotator_table_of,
    fast_floor,
    flags,
)

CHECKS = pd.DataFrame({"pair_id": ["c1", "c2", "e1"], "expected": ["a", "b", "a"]})


def frames(*rows):
    """Votes and trials from rows (annotator, question, pair, left, kind, choice, ms), in order."""
    names = ["annotator_id", "question_id", "pair_id", "left", "kind", "choice", "response_ms"]
    both = pd.DataFrame(rows, columns=names)
    both["trial_id"] = [f"t{i}" for i in range(len(both))]
    both["position"] = both.groupby("annotator_id").cumcount() + 1
    trials = both.drop(columns=["choice", "response_ms"])
    return both[["trial_id", "choice", "response_ms"]], trials


def table_of(*rows, checks=CHECKS, floor_ms=1000):
    votes, trials = frames(*rows)
    return annotator_table(votes, trials, checks, floor_ms).set_index("annotator_id")


def test_one_annotator_by_hand():
    table = table_of(
        ("ann", "q", "e1", "a", "practice", "left", 100),  # practice: right, and nothing else of it
        ("ann", "q", "p1", "a", "main", "left", 500),  # chose a
        ("ann", "q", "c1", "b", "attention", "right", 1500),  # a lies right: passed
        ("ann", "q", "p2", "b", "main", "right", 2000),  # chose a
        ("ann", "q", "p3", "a", "main", "right", 1000),  # chose b; 1000 is not under the floor
        ("ann", "q", "c2", "b", "attention", "right", 900),  # expected b lies left: missed
        ("ann", "q", "p4", "a", "main", "tie", 4000),
        ("ann", "q", "p5", "a", "main", "both_bad", 3000),
        ("ann", "q", "p1", "b", "repeat", "right", 700),  # chose a again: consistent
        ("ann", "q", "p3", "b", "repeat", "right", 800),  # chose a, b before: not
    )
    row = table.loc["ann"]
    assert row["n_votes"] == 9
    # 500 700 800 900 [1000] 1500 2000 3000 4000
    assert row["median_ms"] == 1000
    assert row["fast_share"] == pytest.approx(4 / 9)
    # main votes for a side: left, right, right
    assert row["n_decided"] == 3
    assert row["left_share"] == pytest.approx(1 / 3)
    # Wilson with z = 1.959964: (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n)
    z2, n, p = 1.959963984540054**2, 3, 1 / 3
    half = sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)))
    assert row["left_low"] == pytest.approx((p + z2 / (2 * n) - half) / (1 + z2 / n))
    assert row["left_high"] == pytest.approx((p + z2 / (2 * n) + half) / (1 + z2 / n))
    assert row["tie_share"] == pytest.approx(1 / 5)  # both_bad is no tie
    assert (row["attention_passed"], row["attention_n"]) == (1, 2)
    assert (row["practice_right"], row["practice_n"]) == (1, 1)
    assert (row["repeats_consistent"], row["repeats_n"]) == (1, 2)
    assert row["longest_run"] == 4  # right right right right, the second to the fifth vote
    assert row["agreement_n"] == 0
    assert isnan(row["agreement"])


def test_agreement_counts_each_vote_of_another_on_the_same_question_and_pair():
    table = table_of(
        ("ann", "q", "p1", "a", "main", "left", 1000),  # a
        ("bob", "q", "p1", "b", "main", "right", 1000),  # a, on the other side
        ("cleo", "q", "p1", "a", "main", "right", 1000),  # b
        ("ann", "q", "p2", "a", "main", "tie", 1000),
        ("bob", "q", "p2", "a", "main", "tie", 1000),
        ("cleo", "q", "p2", "a", "main", "both_bad", 1000),
        ("ann", "r", "p1", "a", "main", "left", 1000),  # another question, alone
        ("bob", "q", "p1", "a", "repeat", "right", 1000),  # repeats agree with nobody
    )
    assert table["agreement_n"].tolist() == [4, 4, 4]
    # ann: bob yes, cleo no; bob yes, cleo no. cleo: nobody.
    assert table["agreement"].tolist() == [0.5, 0.5, 0.0]


def test_no_main_vote_for_a_side_gives_nan_with_its_n():
    table = table_of(
        ("ann", "q", "p1", "a", "main", "tie", 1000),
        ("bob", "q", "e1", "b", "practice", "left", 1000),
    )
    assert table.loc["ann", "n_decided"] == 0
    assert table.loc["ann", ["left_share", "left_low", "left_high"]].isna().all()
    assert table.loc["ann", "tie_share"] == 1
    bob = table.loc["bob"]
    assert (bob["n_votes"], bob["practice_right"], bob["practice_n"]) == (0, 0, 1)
    assert bob[["median_ms", "fast_share", "left_share", "tie_share", "agreement"]].isna().all()
    assert bob["longest_run"] == 0


def test_without_votes_the_table_is_empty():
    votes, trials = frames(("ann", "q", "p1", "a", "main", "left", 1000))
    table = annotator_table(votes.head(0), trials, CHECKS, 1000)
    assert list(table.columns) == list(COLUMNS)
    assert table.empty
    assert flags(table) == []


def test_a_check_without_an_expected_side_is_an_error():
    with pytest.raises(ValueError, match="no expected side for c9"):
        table_of(("ann", "q", "c9", "a", "attention", "left", 1000))


def test_as_a_plain_second_implementation():
    rng = np.random.default_rng(5)
    rows, kinds = [], ["main"] * 30 + ["attention"] * 2
    for who in (f"a{i}" for i in range(9)):
        for question in ("q", "r"):
            pairs = [f"p{i}" for i in rng.permutation(40)[:30]] + ["c1", "c2"]
            for pair, kind in zip(pairs, kinds, strict=True):
                rows.append([who, question, pair, "ab"[rng.integers(2)], kind])
            rows += [[who, question, pair, "ab"[rng.integers(2)], "repeat"] for pair in pairs[:4]]
    choices = rng.choice(["left", "right", "tie", "both_bad"], len(rows), p=[0.4, 0.3, 0.2, 0.1])
    times = rng.integers(300, 4000, len(rows))
    rows = [(*row, str(c), int(t)) for row, c, t in zip(rows, choices, times, strict=True)]
    table = table_of(*rows, floor_ms=800)
    for who in table.index:
        expected = plain(rows, who, 800)
        found = {name: table.loc[who, name] for name in expected}
        assert found == pytest.approx(expected)


def plain(rows, who, floor_ms):
    """The same figures by loops."""

    def image(row):
        _, _, _, left, _, choice, _ = row
        sides = {"left": left, "right": "b" if left == "a" else "a"}
        return sides.get(choice, choice)

    mine = [row for row in rows if row[0] == who]
    main = [row for row in mine if row[4] == "main"]
    expected = {"c1": "a", "c2": "b"}
    alike = compared = consistent = run = longest = 0
    for row in main:
        for other in rows:
            if other[0] != who and other[4] == "main" and other[1:3] == row[1:3]:
                compared += 1
                alike += image(other) == image(row)
    for row in mine:
        if row[4] == "repeat":
            [first] = [r for r in main if r[1:3] == row[1:3]]
            consistent += image(first) == image(row)
    before = None
    for row in mine:
        run = run + 1 if row[5] == before else 1
        longest, before = max(longest, run), row[5]
    attention = [row for row in mine if row[4] == "attention"]
    sides = [row[5] for row in main if row[5] in ("left", "right")]
    return {
        "n_votes": len(mine),
        "median_ms": float(np.median([row[6] for row in mine])),
        "fast_share": np.mean([row[6] < floor_ms for row in mine]),
        "left_share": sides.count("left") / len(sides),
        "tie_share": np.mean([row[5] == "tie" for row in main]),
        "attention_passed": sum(image(row) == expected[row[2]] for row in attention),
        "repeats_consistent": consistent,
        "repeats_n": 8,
        "agreement": alike / compared,
        "agreement_n": compared,
        "longest_run": longest,
    }


def sitting(who, n=40, choose=lambda i, left: "left" if left == "a" else "right", ms=2000):
    """Main votes on pairs p0, p1, ... and four checks, all by one rule."""
    rows = []
    for i in range(n):
        left = "ab"[i % 2]
        rows.append((who, "q", f"p{i}", left, "main", choose(i, left), ms))
    for i in range(4):
        left = "ab"[i // 2]
        rows.append((who, "q", f"c{i % 2 + 1}", left, "attention", choose(i, left), ms))
    return rows


def test_flags_name_who_does_not_look():
    # Five take image a always but for 0 to 4 ties, so that their agreement differs a little.
    rows = []
    for number in range(5):
        rows += sitting(
            f"usual{number}",
            choose=lambda i, left, number=number: (
                "tie" if 10 <= i < 10 + number else ("left" if left == "a" else "right")
            ),
        )
    rows += sitting("lefty", choose=lambda i, left: "left")
    rows += sitting("quick", ms=999)
    checks = pd.DataFrame({"pair_id": ["c1", "c2"], "expected": ["a", "a"]})
    table = table_of(*rows, checks=checks)
    held = dict(zip(table.index, flags(table.reset_index()), strict=True))
    # lefty: image a, the right one, lies left in 2 of 4 checks.
    assert held["lefty"] == "attention, one side, one choice, agreement, outlier"
    assert held["quick"] == "fast"
    assert {held[f"usual{number}"] for number in range(5)} == {""}


def test_flags_wait_for_enough_votes():
    rows = [("ann", "q", f"p{i}", "a", "main", "left", 100) for i in range(5)]
    rows += [("ann", "q", f"c{i}", "a", "attention", "right", 100) for i in (1, 1, 1)]
    checks = pd.DataFrame({"pair_id": ["c1"], "expected": ["a"]})
    [held] = flags(table_of(*rows, checks=checks).reset_index())
    # 3 missed checks and 8 fast votes are too few; 5 of 5 left: Wilson's low bound is 57%
    assert held == ""


def test_every_flag_has_a_rule_in_words():
    assert set(FLAGS) == {"attention", "fast", "one side", "one choice", "agreement", "outlier"}


def test_the_floor_is_stated():
    assert fast_floor(0) == 1000
    assert fast_floor(500) == 1000
    assert fast_floor(1500) == 3000


# Votes without their trials


def imported(rows):
    """Comparisons of main and repeat votes (rows as for `frames`): a is model x, b is model y."""
    voted = pd.DataFrame(
        rows, columns=["annotator_id", "question_id", "prompt_id", "left", "kind", "choice", "ms"]
    )
    won = voted["choice"].where(voted["choice"].isin(["tie", "both_bad"]))
    is_a = (voted["choice"] == "left") == (voted["left"] == "a")
    return voted.assign(
        model_a="x",
        model_b="y",
        winner=won.fillna(is_a.map({True: "model_a", False: "model_b"})),
        left_model=voted["left"].map({"a": "x", "b": "y"}),
        response_ms=voted["ms"],
    ).drop(columns=["left", "choice", "ms"])


def a_study(seed=5):
    rng = np.random.default_rng(seed)
    rows = []
    for who in (f"a{i}" for i in range(8)):
        pairs = [f"p{i}" for i in rng.permutation(40)[:30]]
        rows += [(who, "q", pair, "ab"[rng.integers(2)], "main") for pair in pairs]
        rows += [(who, "q", pair, "ab"[rng.integers(2)], "repeat") for pair in pairs[:4]]
    choices = rng.choice(["left", "right", "tie", "both_bad"], len(rows), p=[0.4, 0.3, 0.2, 0.1])
    times = rng.integers(300, 4000, len(rows))
    return [(*row, str(c), int(t)) for row, c, t in zip(rows, choices, times, strict=True)]


def test_votes_without_trials_give_the_same_figures_but_for_what_they_cannot_tell():
    rows = a_study()
    expected = table_of(*rows)
    found = annotator_table_of(imported(rows)).set_index("annotator_id")
    assert expected["outlier_distance"].max() > 0
    assert found["longest_run"].isna().all()
    pd.testing.assert_frame_equal(
        found.drop(columns="longest_run"), expected.drop(columns="longest_run")
    )


def test_what_a_file_does_not_tell_is_unknown():
    bare = imported(a_study()).drop(columns=["left_model", "response_ms", "kind"])
    bare = bare.drop_duplicates(["annotator_id", "prompt_id"])
    table = annotator_table_of(bare)
    unknown = ["median_ms", "fast_share", "left_share", "left_low", "left_high", "longest_run"]
    assert table[unknown].isna().all(axis=None)
    assert not table[["n_decided", "attention_n", "practice_n", "repeats_n"]].any(axis=None)
    assert table["n_votes"].tolist() == [30] * 8
    assert flags(table) == [""] * 8
    some = imported(a_study()).assign(left_model="", response_ms=np.nan)
    some.loc[some["annotator_id"] == "a0", "left_model"] = "y"
    some.loc[some["annotator_id"] == "a0", "response_ms"] = 900
    partly = annotator_table_of(some).set_index("annotator_id")
    assert (partly.loc["a0", "fast_share"], partly.loc["a0", "median_ms"]) == (1, 900)
    assert partly.loc["a1":, ["fast_share", "median_ms", "left_share"]].isna().all(axis=None)
    assert tables.check(table, tables.ANNOTATORS, "annotators")["n_votes"].sum() == 240


def test_a_second_vote_on_the_same_adds_no_agreement():
    rows = a_study()
    once = imported([row for row in rows if row[4] == "main"])
    again = annotator_table_of(pd.concat([once, once.head(30)])).set_index("annotator_id")
    before = annotator_table_of(once).set_index("annotator_id")
    assert again.loc["a0", "n_votes"] == before.loc["a0", "n_votes"] + 30
    same = ["agreement", "agreement_n", "outlier_distance", "outlier_n"]
    pd.testing.assert_frame_equal(again[same], before[same])


def test_no_imported_votes_give_an_empty_table():
    assert annotator_table_of(imported(a_study()).head(0)).empty
