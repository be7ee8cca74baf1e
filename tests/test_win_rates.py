"""Win rates: counted by hand, the same whichever way round a pair stands."""

import csv

import numpy as np
import pandas as pd
import pytest

from evalkit import tables
from evalkit.analysis.significance import holm
from evalkit.analysis.tie_rules import tie_rules
from evalkit.analysis.ties import RULES
from evalkit.analysis.win_rates import win_rates
from evalkit.errors import EstimateError
from evalkit.simulate import simulate_comparisons
from evalkit.wording import win_rate_lines
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
    required = [column.name for column in tables.WIN_RATES.columns if column.required]
    assert list(empty.columns) == required


HAND = [
    ("a1", "p1", "quality", "x", "y", "model_a"),
    ("a2", "p1", "quality", "x", "y", "model_a"),
    ("a1", "p2", "quality", "x", "y", "model_b"),
    ("a2", "p2", "quality", "x", "y", "tie"),
    ("a1", "p3", "quality", "x", "y", "model_a"),
    ("a2", "p3", "quality", "x", "y", "both_bad"),
    ("a2", "p4", "quality", "x", "y", "tie"),
]


@pytest.mark.parametrize(
    ("rule", "share", "n"),
    [("half", (3 + 3 / 2) / 7, 7), ("drop", 3 / 4, 4), ("both_bad_apart", (3 + 1) / 6, 6)],
)
def test_each_rule_for_ties_by_hand(rule, share, n):
    row = win_rates(frame(HAND), ties=rule).iloc[0]
    assert row["win_rate_a"] == pytest.approx(share)
    assert (row["n"], row["ties_rule"]) == (n, rule)
    assert row[["wins_a", "wins_b", "ties", "both_bad"]].tolist() == [3, 1, 2, 1]
    assert row["both_bad_share"] == pytest.approx(1 / 7)
    assert RULES[rule] in row["method"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("half", "3 won, 1 lost, 2 ties and 1 both bad counted half; "),
        ("drop", "3 won, 1 lost, 2 ties and 1 both bad left out; "),
        ("both_bad_apart", "3 won, 1 lost, 2 ties counted half, 1 both bad left out; "),
    ],
)
def test_a_sentence_says_what_the_rule_does(rule, words):
    [sentence] = win_rate_lines(win_rates(frame(HAND), ties=rule))
    assert words in sentence


def test_the_rules_stand_side_by_side_and_are_those_of_single_calls():
    votes = simulated()
    table = tie_rules(votes)
    assert table["ties_rule"].tolist() == list(RULES) * 6
    for rule in RULES:
        alone = win_rates(votes, ties=rule)
        of_rule = table[table["ties_rule"] == rule].reset_index(drop=True)
        pd.testing.assert_frame_equal(of_rule, alone)
    assert tie_rules(frame([])).empty


def simulated(**options):
    return simulate_comparisons(
        {"x": 0.5, "y": 0.0, "z": -0.3}, n_prompts=20, votes_per_prompt=3, n_annotators=8,
        seed=5, tie_weight=0.4, questions=("quality", "alignment"), **options,
    )  # fmt: skip


def test_slices_are_the_win_rates_of_their_votes():
    votes = simulated()
    votes["category"] = np.where(votes["prompt_id"] < "prompt-00009", "Animals", "")
    table = win_rates(votes, by="category")
    assert len(table) == 2 * 3 * 2  # questions, pairs, values
    assert set(table["by"]) == {"category"}
    for value in ("Animals", ""):
        alone = win_rates(votes[votes["category"] == value])
        of_value = table[table["value"] == value].reset_index(drop=True)
        same = ["question_id", "model_a", "model_b", "n", "win_rate_a", "ci_low", "p_value"]
        pd.testing.assert_frame_equal(of_value[same], alone[same])
    # Holm: six tests of a question, twelve of the table.
    for _, family in table.groupby("question_id"):
        assert family["p_holm"].to_numpy() == pytest.approx(holm(family["p_value"].to_numpy()))
    assert table["p_holm_all"].to_numpy() == pytest.approx(holm(table["p_value"].to_numpy()))
    assert table["method"].str.contains("values of category of the question").all()


def test_the_bootstrap_says_its_seed_and_what_it_is_worth():
    votes = simulated()
    one, again = (win_rates(votes, interval="bootstrap", seed=7) for _ in range(2))
    pd.testing.assert_frame_equal(one, again)
    assert set(one["seed"]) == {7}
    assert one["method"].str.contains("over-covers").all()
    other = win_rates(votes, interval="bootstrap", seed=8)
    assert (one["ci_low"] != other["ci_low"]).any()
    assert one["win_rate_a"].tolist() == other["win_rate_a"].tolist()


def test_what_cannot_be_estimated_is_flagged():
    one_vote = win_rates(frame(HAND[:1])).iloc[0]
    assert np.isnan(one_vote[["ci_low", "ci_high", "p_value", "p_holm"]].astype(float)).all()
    assert one_vote["method"].startswith("no interval: a single vote")
    one_person = win_rates(frame([row for row in HAND if row[0] == "a1"])).iloc[0]
    assert one_person["method"].startswith("no interval: one annotator")
    one_prompt = win_rates(frame(HAND[:2])).iloc[0]
    assert one_prompt["method"].startswith("no interval: one prompt")
    ties = [(*row[:5], "tie") for row in HAND]
    all_ties = win_rates(frame(ties)).iloc[0]
    assert (all_ties["win_rate_a"], all_ties["n"]) == (0.5, 7)
    assert all_ties["method"].startswith("no interval: every vote is a tie")
    assert np.isnan(all_ties["p_sign"])
    dropped = win_rates(frame(ties), ties="drop").iloc[0]
    assert (dropped["n"], dropped["ties"]) == (0, 7)
    assert np.isnan(dropped["win_rate_a"])
    assert dropped["method"].startswith("not estimated: no votes")


def test_separated_and_disconnected_models_have_win_rates_all_the_same():
    """A win rate is of one pair: what has no finite rating has one, and says what it rests on."""
    rows = []
    for a, b, wins, losses in [("A", "B", 5, 0), ("B", "C", 4, 3), ("D", "E", 6, 0)]:
        winners = ["model_a"] * wins + ["model_b"] * losses
        rows += [(f"a{i % 3}", f"p{i}", "q", a, b, won) for i, won in enumerate(winners)]
    table = win_rates(frame(rows)).set_index(["model_a", "model_b"])
    assert table["win_rate_a"].tolist() == pytest.approx([1, 4 / 7, 1])
    assert "unanimous" in table.loc[("A", "B"), "method"]
    assert 0 < table.loc[("A", "B"), "ci_low"] < 1


@pytest.mark.parametrize(
    "options", [{"ties": "halve"}, {"interval": "wald"}, {"by": "colour"}, {"level": 95}]
)
def test_an_unknown_option_is_refused(options):
    with pytest.raises(EstimateError, match=str(next(iter(options.values())))):
        win_rates(frame(HAND), **options)


def test_excluded_votes_do_not_count():
    votes = frame(HAND).assign(excluded_by=["", "blocked", *[""] * 5])
    assert win_rates(votes).iloc[0][["wins_a", "n"]].tolist() == [2, 6]


def gill(question):
    """The votes of one question: gen and ret images of 1632 prompts, five votes each.

    Source: kohjingyu/gill, Apache-2.0. Who voted is not told: each prompt's places stand for five.
    """
    table = pd.read_csv(
        FOLDER / "votes" / f"gill_partiprompts_{question}.tsv", sep="\t", quoting=csv.QUOTE_NONE,
        dtype=str,
    )  # fmt: skip
    votes = table["Decisions"].str.split(",")
    rows = table.assign(decision=votes, place=votes.map(lambda v: list(range(len(v)))))
    rows["prompt_id"] = [f"p{i}" for i in range(len(rows))]
    rows = rows.explode(["decision", "place"], ignore_index=True)
    return pd.DataFrame(
        {
            "annotator_id": "a" + rows["place"].astype(str),
            "prompt_id": rows["prompt_id"],
            "question_id": question,
            "category": rows["Category"],
            "model_a": "gen",
            "model_b": "ret",
            "winner": rows["decision"].map({"gen": "model_a", "ret": "model_b", "same": "tie"}),
        }
    )


@needs_reference
@pytest.mark.parametrize(
    ("question", "counts", "share"),
    [("Alignment", [3854, 2836, 1468], 0.5624), ("Realism", [3455, 3248, 1455], 0.5127)],
)
def test_real_votes_on_partiprompts(question, counts, share):
    votes = gill(question)
    row = win_rates(votes, interval="by-prompt").iloc[0]
    assert row[["wins_a", "wins_b", "ties"]].tolist() == counts
    assert row["win_rate_a"] == pytest.approx(share, abs=5e-5)
    assert row["n_prompts"] == 1632
    # Votes on a prompt are alike: worth fewer independent ones, and wider than plain Wilson.
    naive = win_rates(votes, interval="wilson").iloc[0]
    assert 1632 < row["n_effective"] < 8158
    assert row["ci_low"] < naive["ci_low"] < share < naive["ci_high"] < row["ci_high"]
    by_category = win_rates(votes, by="category", interval="by-prompt")
    assert len(by_category) == 12
    assert by_category["n"].sum() == sum(counts)


@needs_reference
def test_the_reference_sign_tests_and_intervals_of_decided_votes():
    """Where a vote stands for a prompt, sign test and Wilson are those of the reference."""
    votes = tables.read(FOLDER / "reference" / "votes_t2i.csv", tables.IMPORTED_VOTES)
    votes = votes[votes["question_id"] == "quality"].reset_index(drop=True)
    each = votes.assign(prompt_id=votes.index.astype(str))
    found = win_rates(each, ties="drop", interval="wilson").set_index(["model_a", "model_b"])
    for row in read_json("votes_t2i_pairs.json")["quality"]:
        low, high = sorted([row["a"], row["b"]])
        ours = found.loc[(low, high)]
        bounds = row["wilson_noties"] if low == row["a"] else [1 - x for x in row["wilson_noties"]]
        assert sorted(ours[["ci_low", "ci_high"]]) == pytest.approx(sorted(bounds), abs=1e-9)
        assert ours["p_sign"] == pytest.approx(row["sign_p"], rel=1e-9)
    adjusted = holm(found["p_sign"].to_numpy())
    for (low, high), p in zip(found.index, adjusted, strict=True):
        [expected] = [
            row["sign_p_holm"]
            for row in read_json("votes_t2i_pairs.json")["quality"]
            if sorted([row["a"], row["b"]]) == [low, high]
        ]
        assert p == pytest.approx(expected, rel=1e-9)


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
