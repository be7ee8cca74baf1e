"""Exclusions: who is set aside by which rule, by arithmetic; what that does to results."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import tables
from evalkit.analysis import agreement, elo, ratings, win_rates
from evalkit.analysis.annotators import annotator_table_of
from evalkit.analysis.exclusions import (
    NO_RULE,
    TOTALS,
    apply,
    counted,
    described,
    excluded,
    exclusion_table,
    with_and_without,
)
from evalkit.simulate import Population, expected_share, simulate_comparisons
from evalkit.study_sections import Exclusions

ANN = {
    "annotator_id": "ann",
    "n_votes": 40,
    "median_ms": 2000.0,
    "fast_share": 0.0,
    "n_decided": 30,
    "left_share": 0.5,
    "left_low": 0.3,
    "left_high": 0.7,
    "tie_share": 0.2,
    "attention_passed": 4,
    "attention_n": 4,
    "practice_right": 2,
    "practice_n": 2,
    "repeats_consistent": 4,
    "repeats_n": 4,
    "agreement": 0.6,
    "agreement_n": 90,
    "outlier_distance": 0.0,
    "outlier_n": 30,
    "longest_run": 4,
}
ALL = Exclusions(
    attention_below=0.75,
    median_ms_below=1000,
    same_side_above=0.9,
    longest_run_above=20,
    repeat_consistency_below=0.5,
    blocked=True,
)


def table_of(**people):
    """An annotator table: `ANN` under each name, but for what is said."""
    rows = [{**ANN, "blocked": False, "annotator_id": name, **own} for name, own in people.items()]
    return pd.DataFrame(rows)


def held(rules, **own):
    """The rules against one annotator who is as `ANN` but for what is said."""
    return excluded(table_of(one=own), rules)["rule"].tolist()


def votes(seed=0, people=12, prompts=20):
    """Four votes on each of two models' images; x is better, but p00 and p01 always choose y."""
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in range(prompts):
        for who in rng.permutation(people)[:4]:
            contrary = who < 2
            winner = "model_b" if contrary else rng.choice(["model_a", "model_b"], p=[0.75, 0.25])
            left = rng.choice(["x", "y"])
            rows.append((f"p{who:02d}", f"prompt {prompt}", "q", "x", "y", str(winner), str(left)))
    names = ["annotator_id", "prompt_id", "question_id", "model_a", "model_b", "winner"]
    return pd.DataFrame(rows, columns=[*names, "left_model"])


# Who is under which rule


@pytest.mark.parametrize(
    ("rule", "at_the_limit", "past_it", "value", "too_few"),
    [
        ("attention_below", {"attention_passed": 3}, {"attention_passed": 2}, 0.5,
         {"attention_passed": 0, "attention_n": 3}),
        ("median_ms_below", {"median_ms": 1000}, {"median_ms": 999.5}, 999.5,
         {"median_ms": 400, "n_votes": 19}),
        ("same_side_above", {"left_share": 0.9}, {"left_share": 0.95}, 0.95,
         {"left_share": 1.0, "n_decided": 19}),
        ("same_side_above", {"left_share": 0.125}, {"left_share": 0.0625}, 0.9375,
         {"left_share": 0.0, "n_decided": 19}),
        ("longest_run_above", {"longest_run": 20}, {"longest_run": 21}, 21, {"longest_run": 20}),
        ("repeat_consistency_below", {"repeats_consistent": 2}, {"repeats_consistent": 1}, 0.25,
         {"repeats_consistent": 0, "repeats_n": 3}),
        ("blocked", {}, {"blocked": True}, 1, {}),
    ],
)  # fmt: skip
def test_each_rule_holds_past_its_limit_and_from_its_n_on(
    rule, at_the_limit, past_it, value, too_few
):
    assert held(ALL, **at_the_limit) == []
    assert held(ALL, **past_it) == [rule]
    assert held(ALL, **too_few) == []
    [row] = excluded(table_of(one=past_it), ALL).to_dict("records")
    assert (row["annotator_id"], row["value"]) == ("one", value)
    limit = np.nan if rule == "blocked" else float(getattr(ALL, rule))
    assert row["limit"] == pytest.approx(limit, nan_ok=True)
    assert (
        held(ALL.model_copy(update={rule: None if rule != "blocked" else False}), **past_it) == []
    )


def test_the_n_needed_can_be_changed():
    three = {"attention_passed": 0, "attention_n": 3}
    assert held(Exclusions(attention_below=0.75, min_checks=3), **three) == ["attention_below"]
    assert held(Exclusions(attention_below=0.75), **three) == []


def test_without_rules_nobody_is_set_aside():
    worst = {"attention_passed": 0, "median_ms": 1, "left_share": 1.0, "blocked": True}
    none = excluded(table_of(one=worst), Exclusions())
    assert none.empty
    assert list(none.columns) == ["annotator_id", "rule", "value", "limit"]
    assert described(Exclusions()) == NO_RULE


def test_what_a_table_cannot_say_excludes_nobody():
    """Imported votes know nothing of checks, and nobody is blocked."""
    table = annotator_table_of(votes())
    assert "blocked" not in table.columns
    assert excluded(table, ALL).empty
    rows = exclusion_table(votes(), table, ALL).set_index("rule")
    assert rows.loc["attention_below", "n_judged"] == 0
    assert rows.loc["blocked", "n_judged"] == 0


def test_who_is_under_two_rules_has_both_named():
    both = {"median_ms": 300, "attention_passed": 1}
    marks = excluded(table_of(p00=both, p01={}, p02={"blocked": True}), ALL)
    marked = apply(votes(), marks)
    by = marked.groupby("annotator_id")["excluded_by"].unique().map(list).to_dict()
    assert by["p00"] == ["attention_below, median_ms_below"]
    assert by["p02"] == ["blocked"]
    assert by["p01"] == [""]
    assert len(marked) == len(votes())  # nothing is deleted
    assert set(counted(marked)["annotator_id"]) == set(votes()["annotator_id"]) - {"p00", "p02"}
    tables.check(marked.assign(kind="main"), tables.IMPORTED_VOTES, "votes")


def test_rules_in_words():
    rules = Exclusions(attention_below=0.75, longest_run_above=25, blocked=True, min_checks=6)
    assert described(rules) == "attention_below = 0.75 (from 6 on); longest_run_above = 25; blocked"


# The count


def test_received_less_excluded_is_counted():
    frame = votes().assign(kind="main")
    frame.loc[:3, "kind"] = "repeat"
    people = {name: {} for name in frame["annotator_id"].unique()}
    people |= {"p00": {"median_ms": 300, "attention_passed": 1}, "p01": {"median_ms": 500}}
    people |= {"away": {"median_ms": 100}}  # practised, and gave no main vote
    people["p02"] = {"attention_n": 3, "attention_passed": 3}
    rows = exclusion_table(frame, table_of(**people), ALL)
    main = frame[frame["kind"] == "main"]["annotator_id"].value_counts()
    assert rows["rule"].tolist()[-3:] == list(TOTALS)
    rows = rows.set_index("rule")
    assert rows.loc["median_ms_below", "n_annotators"] == 2
    assert rows.loc["median_ms_below", "n_votes"] == main["p00"] + main["p01"]
    assert rows.loc["attention_below", "n_votes"] == main["p00"]
    assert rows.loc["attention_below", "n_judged"] == len(main) - 1
    assert rows.loc["attention_below", ["limit", "least"]].tolist() == [0.75, 4]
    assert rows.loc["excluded", "n_votes"] == main["p00"] + main["p01"]
    assert rows.loc["received", ["n_annotators", "n_votes"]].tolist() == [len(main), main.sum()]
    assert rows.loc["counted", "n_annotators"] == len(main) - 2
    assert rows.loc["counted", "n_votes"] == main.drop(["p00", "p01"]).sum()


def test_without_rules_the_table_has_the_totals():
    rows = exclusion_table(votes(), annotator_table_of(votes()), Exclusions()).set_index("rule")
    assert rows["n_votes"].to_dict() == {"excluded": 0, "received": 80, "counted": 80}


# With and without


def contrary(frame):
    """The comparisons with the two contrary people set aside."""
    return apply(frame, excluded(table_of(p00={"blocked": True}, p01={"blocked": True}), ALL))


def test_both_numbers_are_those_of_the_tables():
    marked = contrary(votes())
    [row] = with_and_without(win_rates, marked).to_dict("records")
    without = marked["annotator_id"].isin(["p00", "p01"])
    [kept] = win_rates(votes()[~without]).to_dict("records")
    [every] = win_rates(votes()).to_dict("records")
    assert (row["measure"], row["question_id"]) == ("win_rate_a", "q")
    assert (row["model_a"], row["model_b"], row["model"]) == ("x", "y", "")
    for name, column in (("estimate", "win_rate_a"), ("ci_low", "ci_low"), ("n", "n")):
        assert row[name] == kept[column]
        assert row[f"{name}_all"] == every[column]
    assert row["change"] == pytest.approx(kept["win_rate_a"] - every["win_rate_a"])
    assert row["change"] > 0.05  # they chose against the better model
    both = with_and_without(ratings, marked).set_index("model")
    assert both["measure"].unique().tolist() == ["rating"]
    assert both.loc["x", "estimate"] > both.loc["x", "estimate_all"]
    assert both.loc["x", "n"] == (~without).sum()


def test_elo_stands_with_and_without_and_has_no_interval():
    marked = contrary(votes())
    without = marked["annotator_id"].isin(["p00", "p01"])
    found = with_and_without(elo, marked).set_index("model")
    kept, every = (elo(frame).set_index("model") for frame in (votes()[~without], votes()))
    assert set(found["measure"]) == {"elo"}
    for model in ("x", "y"):
        row = found.loc[model]
        assert (row["estimate"], row["n"]) == (kept.loc[model, "elo"], (~without).sum())
        assert (row["estimate_all"], row["n_all"]) == (every.loc[model, "elo"], 80)
    bounds = ["ci_low", "ci_high", "ci_low_all", "ci_high_all"]
    assert found[bounds].isna().all(axis=None)
    assert found.loc["x", "change"] > 1  # they chose against the better model


def test_every_measure_of_agreement_stands_with_and_without():
    marked = contrary(votes())
    kept, every = (agreement(frame).set_index("measure") for frame in (counted(marked), votes()))
    found = with_and_without(agreement, marked).set_index("measure")
    assert set(found.index) == {"krippendorff_alpha", "raw_agreement", "repeat_consistency"}
    for ending, table in (("", kept), ("_all", every)):
        for name in ("estimate", "ci_low", "ci_high", "n"):
            np.testing.assert_array_equal(found[name + ending], table.loc[found.index, name])
    assert found.loc["krippendorff_alpha", "change"] > 0  # without the contrary they agree more


def test_elo_and_agreement_are_unknown_where_nothing_is_left():
    marked = votes().assign(excluded_by="blocked")
    for estimate in (elo, agreement):
        found = with_and_without(estimate, marked)
        assert len(found) == len(estimate(votes()))
        assert found["n"].eq(0).all()
        assert found["estimate"].isna().all()


def test_the_tables_count_what_is_not_set_aside():
    marked = contrary(votes())
    pd.testing.assert_frame_equal(win_rates(marked), win_rates(counted(marked)))
    assert win_rates(marked)["n"].sum() < win_rates(votes())["n"].sum()


def test_nobody_set_aside_changes_nothing():
    calls = []

    def estimate(frame):
        calls.append(len(frame))
        return win_rates(frame)

    same = with_and_without(estimate, votes().assign(excluded_by=""))
    assert same["change"].tolist() == [0.0]
    assert same["n"].tolist() == same["n_all"].tolist() == [80]
    assert calls == [80]


def test_where_nothing_is_left_the_number_is_unknown():
    marked = votes().assign(excluded_by="blocked")
    [row] = with_and_without(win_rates, marked).to_dict("records")
    assert row["n"] == 0
    assert np.isnan([row["estimate"], row["ci_low"], row["change"]]).all()
    assert row["n_all"] == 80


@settings(max_examples=25, deadline=None)
@given(limit=st.floats(0.01, 1), looser=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_a_looser_rule_sets_nobody_more_aside(limit, looser, seed):
    rng = np.random.default_rng(seed)
    people = {
        f"p{i}": {"attention_n": int(n), "attention_passed": int(rng.integers(0, n + 1))}
        for i, n in enumerate(rng.integers(1, 9, 30))
    }
    low, high = sorted((limit, looser))
    table = table_of(**people)
    strict = set(excluded(table, Exclusions(attention_below=high))["annotator_id"])
    loose = set(excluded(table, Exclusions(attention_below=low))["annotator_id"])
    assert loose <= strict
    shuffled = table.sample(frac=1, random_state=seed)
    assert set(excluded(shuffled, Exclusions(attention_below=high))["annotator_id"]) == strict


# Planted annotators who do not look

PLANTED = {
    "n_prompts": 150,
    "votes_per_prompt": 4,
    "n_annotators": 12,
    "prompt_sd": 0.8,
    "annotator_sd": 0.3,
}


@pytest.mark.parametrize(
    ("planted", "rules", "shown"),
    [
        ("straight_lining_share", Exclusions(same_side_above=0.9), "left_share"),
        ("speeding_share", Exclusions(median_ms_below=1000), "median_ms"),
    ],
)
def test_rules_find_who_does_not_look_and_bring_the_win_rate_back(planted, rules, shown):
    """A third of the people is planted so; the truth is the share among those who look."""
    people = Population(prompt_sd=0.8, annotator_sd=0.3)
    truth = expected_share(1.2, people)
    found = []
    for seed in range(12):
        frame = simulate_comparisons({"x": 1.2, "y": 0.0}, seed=seed, **{planted: 0.33}, **PLANTED)
        table = annotator_table_of(frame)
        marks = excluded(table, rules)
        own = table.set_index("annotator_id")[shown]
        away = set(own.index[(own < 1000) if shown == "median_ms" else own.isin([0, 1])])
        assert set(marks["annotator_id"]) == away
        [row] = with_and_without(win_rates, apply(frame, marks)).to_dict("records")
        found.append((row["estimate"], row["estimate_all"], len(away)))
    estimate, of_all, away = np.mean(found, axis=0)
    assert 2.5 < away < 5.5  # 4 of 12
    assert estimate == pytest.approx(truth, abs=0.03)
    # Who does not look chooses each with a chance of one half: truth + (1/2 - truth) / 3.
    assert of_all == pytest.approx(truth + (0.5 - truth) * away / 12, abs=0.03)
    assert truth - of_all > 0.06
