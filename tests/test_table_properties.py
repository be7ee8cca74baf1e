"""What every table of estimates keeps to, whatever the votes: swap, rename, shuffle, duplicate."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.analysis.ratings import ratings
from evalkit.analysis.sides import left_share
from evalkit.analysis.stability import stability
from evalkit.analysis.tie_rules import tie_rules
from evalkit.analysis.win_rates import win_rates
from evalkit.tables import WINNERS

MODELS = ["x", "y", "z"]
FLIPPED = {"x": "z", "y": "y", "z": "x"}  # the order by name turned round
TURNED = {"model_a": "model_b", "model_b": "model_a"}

TABLES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    **{
        f"win rates, {interval}": partial(win_rates, interval=interval, replicates=100)
        for interval in ("two-way", "wilson", "by-prompt", "by-annotator", "bootstrap")
    },
    "win rates, ties dropped": partial(win_rates, ties="drop"),
    "win rates by category": partial(win_rates, by="category"),
    "tie rules": tie_rules,
    "left share": left_share,
    "ratings": ratings,
    "ratings, Davidson": partial(ratings, ties="model"),
    "stability": stability,
}
CLUSTERED = [name for name in TABLES if "wilson" not in name and "bootstrap" not in name]

each_table = pytest.mark.parametrize("name", TABLES)
few_examples = settings(max_examples=12, deadline=None)


@st.composite
def tables_of_votes(draw):
    """3 to 60 votes on up to three models in two questions, with sides and categories."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(3, 60))
    first = rng.integers(3, size=n)
    second = (first + rng.integers(1, 3, size=n)) % 3
    ties = draw(st.sampled_from([0.0, 0.2, 1.0]))
    chances = [(1 - ties) * 0.6, (1 - ties) * 0.4, ties / 2, ties / 2]
    models = np.array(MODELS, dtype=object)
    left = np.where(rng.random(n) < 0.5, first, second)
    prompt = rng.integers(draw(st.integers(1, 12)), size=n)
    return pd.DataFrame(
        {
            "annotator_id": [f"a{i}" for i in rng.integers(draw(st.integers(1, 8)), size=n)],
            "prompt_id": [f"p{i}" for i in prompt],
            "question_id": rng.choice(["quality", "alignment"], size=n),
            "category": np.where(prompt % 2, "odd", "even"),
            "model_a": models[first],
            "model_b": models[second],
            "winner": rng.choice(WINNERS, size=n, p=chances),
            "left_model": models[left],
        }
    )


def assert_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=1e-7, atol=1e-9)


@each_table
@few_examples
@given(votes=tables_of_votes())
def test_which_model_stands_first_makes_no_difference(name, votes):
    some = np.arange(len(votes)) % 2 == 0
    swapped = votes.copy()
    swapped.loc[some, ["model_a", "model_b"]] = votes.loc[some, ["model_b", "model_a"]].to_numpy()
    swapped.loc[some, "winner"] = votes.loc[some, "winner"].replace(TURNED)
    assert_same(TABLES[name](votes), TABLES[name](swapped))


@each_table
@few_examples
@given(votes=tables_of_votes(), seed=st.integers(0, 999))
def test_the_order_of_rows_makes_no_difference(name, votes, seed):
    shuffled = votes.sample(frac=1, random_state=seed)
    found, again = TABLES[name](votes), TABLES[name](shuffled)
    if name == "stability":  # of changes equally large, either may be named
        found, again = found.drop(columns="without"), again.drop(columns="without")
    if name.startswith(("ratings", "stability")):  # of equal ratings, either may stand first
        key = [c for c in ("question_id", "model", "dropped") if c in found.columns]
        found, again = (
            t.sort_values(key, ignore_index=True).drop(columns="largest_change", errors="ignore")
            for t in (found, again)
        )
    assert_same(found, again)


@few_examples
@given(votes=tables_of_votes())
@pytest.mark.parametrize("interval", ["two-way", "wilson", "by-prompt", "by-annotator"])
def test_turning_the_names_round_mirrors_win_rates(interval, votes):
    renamed = votes.replace(dict.fromkeys(("model_a", "model_b", "left_model"), FLIPPED))
    key = ["question_id", "model_a", "model_b"]
    one, other = (win_rates(table, interval=interval) for table in (votes, renamed))
    back = other.assign(
        model_a=other["model_b"].map(FLIPPED), model_b=other["model_a"].map(FLIPPED),
        wins_a=other["wins_b"], wins_b=other["wins_a"],
        win_rate_a=1 - other["win_rate_a"],
        ci_low=1 - other["ci_high"], ci_high=1 - other["ci_low"],
    )  # fmt: skip
    assert_same(one, back.sort_values(key, ignore_index=True))


@few_examples
@given(votes=tables_of_votes())
def test_other_names_of_people_and_prompts_make_no_difference(votes):
    renamed = votes.assign(
        annotator_id="z" + votes["annotator_id"].str[::-1], prompt_id="q" + votes["prompt_id"]
    )
    for name in CLUSTERED:
        if name != "stability":  # it names them
            assert_same(TABLES[name](votes), TABLES[name](renamed))


@few_examples
@given(votes=tables_of_votes())
@pytest.mark.parametrize("interval", ["two-way", "by-prompt", "by-annotator"])
def test_duplicated_votes_are_no_new_evidence(interval, votes):
    """The estimate stays, and so does a clustered interval; plain Wilson believes every copy."""
    twice = pd.concat([votes, votes])
    one, two = (win_rates(table, interval=interval) for table in (votes, twice))
    assert two["win_rate_a"].tolist() == one["win_rate_a"].tolist()
    assert two["n"].tolist() == (2 * one["n"]).tolist()
    # Where effective n is not capped at n (votes that agree less than chance), nothing changes.
    estimated = one["n_effective"].notna() & ~one["method"].str.contains("unanimous")
    free = estimated & (one["n_effective"] < one["n"])
    for column in ("ci_low", "ci_high", "p_value", "n_effective"):
        assert two.loc[free, column].to_numpy() == pytest.approx(one.loc[free, column].to_numpy())
    naive, believed = (win_rates(table, interval="wilson") for table in (votes, twice))
    known = naive["ci_low"].notna() & believed["ci_low"].notna()
    width = (naive["ci_high"] - naive["ci_low"])[known]
    assert ((believed["ci_high"] - believed["ci_low"])[known] < width).all()


@each_table
@few_examples
@given(votes=tables_of_votes())
def test_a_model_without_votes_makes_no_difference(name, votes):
    """Columns of categories may know a model, a question or a person that has no vote."""
    text = [
        "annotator_id",
        "prompt_id",
        "question_id",
        "category",
        "model_a",
        "model_b",
        "left_model",
    ]
    wide = votes.assign(
        **{c: pd.Categorical(votes[c], [*sorted(set(votes[c])), "nobody"]) for c in text}
    )
    assert_same(TABLES[name](votes), TABLES[name](wide))


@few_examples
@given(votes=tables_of_votes())
def test_votes_on_a_new_model_leave_other_pairs_alone(votes):
    new = votes.assign(model_a="new", model_b="x", left_model="new")
    columns = ["question_id", "model_a", "model_b", "win_rate_a", "ci_low", "ci_high", "p_value"]
    one, more = win_rates(votes)[columns], win_rates(pd.concat([votes, new]))[columns]
    assert_same(one, more[more["model_a"] != "new"].reset_index(drop=True))


@each_table
def test_no_votes_give_an_empty_table(name):
    columns = [
        "annotator_id", "prompt_id", "question_id", "category", "model_a", "model_b", "winner",
        "left_model",
    ]  # fmt: skip
    assert TABLES[name](pd.DataFrame(columns=columns)).empty


@few_examples
@given(votes=tables_of_votes())
def test_every_number_lies_in_its_range(votes):
    for table in (win_rates(votes), win_rates(votes, interval="bootstrap", replicates=100)):
        rate = table["win_rate_a"]
        assert rate.between(0, 1).all()
        known = table["ci_low"].notna()
        assert (table.loc[known, "ci_low"] <= rate[known] + 1e-12).all()
        assert (table.loc[known, "ci_high"] >= rate[known] - 1e-12).all()
        assert (
            table.loc[known, ["ci_low", "ci_high", "p_value", "p_holm"]].stack().between(0, 1).all()
        )
        assert (table.loc[known, "p_holm"] >= table.loc[known, "p_value"]).all()
        assert table.loc[~known, "method"].str.startswith("no interval: ").all()
        assert not (table["n_effective"] > table["n"] + 1e-9).any()
