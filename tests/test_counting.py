"""The entrance of the table functions: what is no vote is refused, and nothing is lost silently."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest

from evalkit import tables
from evalkit.analysis import (
    agreement,
    anytime_table,
    elo,
    left_share,
    ratings,
    stability,
    summary,
    tie_rules,
    win_rates,
)
from evalkit.analysis.alikeness import of_pilot
from evalkit.analysis.annotators import annotator_table_of
from evalkit.analysis.counting import checked, counting, in_time
from evalkit.errors import TableError
from evalkit.simulate import simulate_comparisons
from evalkit.vote_files import read_votes


def plan_of(votes):
    key = ["question_id", "model_a", "model_b", "prompt_id"]
    return votes.groupby(key).size().rename("n_votes").reset_index()


TABLES = {
    "win_rates": win_rates,
    "tie_rules": tie_rules,
    "left_share": left_share,
    "ratings": ratings,
    "stability": stability,
    "elo": lambda votes: elo(votes, orders=20),
    "agreement": lambda votes: agreement(votes, replicates=50),
    "annotators": annotator_table_of,
    "anytime": lambda votes: anytime_table(votes, plan_of(study())),
}


def study(**columns):
    votes = simulate_comparisons(
        {"x": 0.4, "y": 0.0, "z": -0.3}, n_prompts=6, votes_per_prompt=3, n_annotators=5, seed=4,
        tie_weight=0.3, annotator_sd=0.5,
    )  # fmt: skip
    return votes.assign(**columns)


def with_cell(column, row, value):
    votes = study(excluded_by="")
    votes[column] = votes[column].astype(object)
    votes.loc[row, column] = value
    return votes


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_votes_that_pandas_read_again_give_the_same_table(table):
    """Empty cells come back as NaN: of excluded_by that is a vote that counts."""
    votes = study(excluded_by="", category="")
    again = pd.read_csv(StringIO(votes.to_csv(index=False)))
    assert again["excluded_by"].isna().all()
    pd.testing.assert_frame_equal(table(again), table(votes))


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_of_simulated_votes_says_so_and_of_others_does_not(table):
    assert set(table(study())["vote_source"]) == {tables.SIMULATED}
    assert "vote_source" not in table(study(vote_source=""))
    assert "vote_source" not in table(study(vote_source=np.nan))
    one = study(vote_source=[tables.SIMULATED, *[np.nan] * 53])
    assert set(table(one)["vote_source"]) == {tables.SIMULATED}


WRONG = {  # column, row (from 0), cell -> said
    ("question_id", 3, np.nan): "row 4, column question_id: an empty cell",
    ("annotator_id", 0, None): "row 1, column annotator_id: an empty cell",
    ("prompt_id", 2, ""): "row 3, column prompt_id: an empty cell",
    ("winner", 5, np.nan): "row 6, column winner: an empty cell",
    ("winner", 5, "Model_a"): 'row 6, column winner: "Model_a"; allowed is one of model_a',
    ("kind", 7, "Main"): 'row 8, column kind: "Main"; allowed is one of main, repeat',
    ("kind", 7, np.nan): "row 8, column kind: an empty cell",
    ("model_a", 1, "x "): 'row 2, column model_a: "x " has blanks around it',
    ("left_model", 9, "w"): 'row 10, column left_model: "w" is neither model_a nor model_b',
    ("trial_id", 4, np.nan): "row 5, column trial_id: an empty cell",
    ("vote_source", 4, "simulated"): 'row 5, column vote_source: "simulated"; allowed is one of',
    ("question_id", 0, "mean of questions"): 'row 1, column question_id: "mean of questions" is',
}


@pytest.mark.parametrize(("cell", "said"), WRONG.items(), ids=map(str, WRONG))
def test_what_is_no_vote_is_refused_in_one_sentence(cell, said):
    with pytest.raises(TableError, match="comparisons: ") as refused:
        checked(with_cell(*cell))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "table", [*TABLES.values(), of_pilot, lambda votes: summary(votes, pd.DataFrame())],
    ids=[*TABLES, "of_pilot", "summary"],
)  # fmt: skip
def test_no_function_lets_them_in(table):
    with pytest.raises(TableError, match="row 8, column kind"):
        table(with_cell("kind", 7, "Main"))
    with pytest.raises(TableError, match="column annotator_id is missing .found: trial_id"):
        table(study().drop(columns="annotator_id"))


def test_a_model_compared_with_itself_and_a_trial_that_stands_twice_are_refused():
    votes = study()
    itself = votes.assign(model_b=votes["model_a"], left_model=votes["model_a"])
    with pytest.raises(TableError, match='row 1, column model_a: "x" is compared with itself'):
        checked(itself)
    with pytest.raises(TableError, match="row 55, column trial_id: .* stands twice"):
        checked(pd.concat([votes, votes.iloc[[8]]]))


def test_a_row_that_stands_twice_is_refused_where_its_time_tells():
    votes = study().drop(columns="trial_id")
    with pytest.raises(TableError, match="row 55, column created_at: .* the row stands twice"):
        checked(pd.concat([votes, votes.iloc[[8]]]))
    # Without a time either, two votes that say the same cannot be told from one that is doubled.
    bare = votes.drop(columns=["created_at", "response_ms"])
    assert len(checked(pd.concat([bare, bare.iloc[[8]]]))) == 55


def test_numbers_as_names_are_texts():
    votes = study()
    numbered = votes.assign(prompt_id=pd.factorize(votes["prompt_id"])[0])
    assert checked(numbered)["prompt_id"].tolist() == [str(n) for n in numbered["prompt_id"]]
    mixed = with_cell("annotator_id", 0, 7)
    assert checked(mixed)["annotator_id"].iloc[0] == "7"


def test_categories_are_texts():
    votes = study()
    categories = votes.astype({"model_a": "category", "model_b": "category", "kind": "category"})
    pd.testing.assert_frame_equal(checked(categories), votes, check_dtype=False)


def test_empty_cells_that_may_be_empty_are_empty_texts():
    votes = study(excluded_by=np.nan, left_model=None, pair_id=np.nan)
    found = checked(votes)
    for column in ("excluded_by", "left_model", "pair_id"):
        assert set(found[column]) == {""}
    assert len(counting(votes)) == 54
    assert len(counting(votes.assign(kind="repeat"))) == 0
    assert len(counting(votes.assign(excluded_by=["blocked", *[None] * 53]))) == 53


def test_no_votes_are_no_votes():
    assert counting(study().head(0)).empty


def test_a_file_with_a_question_of_that_name_is_refused_at_its_door(tmp_path):
    file = tmp_path / "votes.csv"
    study(question_id="mean of questions").to_csv(file, index=False)
    with pytest.raises(TableError, match=r'votes.csv: line 2, column question_id: "mean of'):
        read_votes(file)


def test_rows_in_time_have_those_without_last_and_keep_their_order():
    votes = pd.DataFrame({"n": range(5), "created_at": ["2030-02", None, "2030-01", "", "2030-01"]})
    assert in_time(votes)["n"].tolist() == [2, 4, 0, 1, 3]
    assert in_time(votes[["n"]])["n"].tolist() == [0, 1, 2, 3, 4]


# What the entrance does for single tables


def twice():
    """Ann votes twice on p1: x first, by the clock; bob and cleo say x. Rows stand in no order."""
    rows = [
        ("ann", "p1", "model_b", "2030-01-01T00:00:09"),
        ("bob", "p1", "model_a", "2030-01-01T00:00:02"),
        ("ann", "p1", "model_a", "2030-01-01T00:00:01"),
        ("cleo", "p1", "model_a", "2030-01-01T00:00:03"),
        ("bob", "p2", "model_b", "2030-01-01T00:00:04"),
        ("cleo", "p2", "model_a", "2030-01-01T00:00:05"),
    ]
    votes = pd.DataFrame(rows, columns=["annotator_id", "prompt_id", "winner", "created_at"])
    return votes.assign(question_id="q", model_a="x", model_b="y")


def test_of_two_votes_on_the_same_the_first_by_the_clock_counts():
    backwards = twice().iloc[::-1].reset_index(drop=True)
    for votes in (twice(), backwards):
        raw = agreement(votes).set_index("measure").loc["raw_agreement"]
        # p1: x x x, all alike; p2: x y, not: 3 of 5 votes meet another that says the same.
        assert raw["estimate"] == pytest.approx(3 / 5)
        people = annotator_table_of(votes).set_index("annotator_id")
        assert people.loc["ann", "agreement"] == 1
    without = agreement(twice().drop(columns="created_at")).set_index("measure")
    assert without.loc["raw_agreement", "estimate"] == pytest.approx((0 + 0.5 + 0.5) / 5)


def test_a_side_that_pandas_read_as_missing_is_unknown_to_the_annotators_too():
    votes = twice().assign(left_model=["x", np.nan, "x", np.nan, "y", np.nan])
    people = annotator_table_of(votes).set_index("annotator_id")
    assert people["n_decided"].to_dict() == {"ann": 2, "bob": 1, "cleo": 0}
    assert people["left_share"].fillna(-1).to_dict() == {"ann": 0.5, "bob": 1.0, "cleo": -1}


def test_the_left_share_of_the_summary_is_of_the_sides_that_are_known():
    votes = twice().assign(left_model=["x", "", "x", np.nan, "y", ""], kind="main")
    shown = summary(votes, pd.DataFrame({"passed": []}))["left_share"]["q"]
    # Of three known, ann's y against x on the left is none; her x and bob's y lay left.
    assert (shown["share"], shown["n"]) == (pytest.approx(2 / 3), 3)
    [row] = left_share(votes).to_dict("records")
    assert shown["interval"] == pytest.approx([row["half_low"], row["half_high"]])
    nobody = summary(votes.assign(left_model=""), pd.DataFrame({"passed": []}))["left_share"]["q"]
    assert (nobody["share"], nobody["interval"], nobody["n"]) == (None, None, 0)
