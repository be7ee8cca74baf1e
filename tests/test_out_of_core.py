"""Votes that stay on the disk: the same numbers as in memory, the same cells refused."""

import json

import duckdb
import numpy as np
import pandas as pd
import pytest

from evalkit.analysis.coding import encode
from evalkit.analysis.from_sums import left_share_of, ratings_of, tie_rules_of, win_rates_of
from evalkit.analysis.ratings import ratings
from evalkit.analysis.sides import left_share
from evalkit.analysis.tie_rules import tie_rules
from evalkit.analysis.vote_sums import vote_sums
from evalkit.analysis.win_rates import win_rates
from evalkit.errors import EvalkitError, StudyError, TableError
from evalkit.result_tables import Options, analyze_file
from evalkit.simulate import simulate_comparisons
from evalkit.vote_files import out_of_core
from evalkit.vote_files.out_of_core import is_large, read_large
from evalkit.wording import analysis_lines
from tests.test_vote_files import BAD, VOTES, frame, write

STRENGTHS = {"w": 0.8, "x": 0.3, "y": 0.0, "z": -0.5}


@pytest.fixture(scope="module")
def votes():
    """Ties, both_bad, repeats, unknown sides, a pair where nobody dissents, a model in one
    question only, and an id with a quote."""
    made = simulate_comparisons(
        STRENGTHS, n_prompts=12, votes_per_prompt=5, n_annotators=9, prompt_sd=0.7,
        annotator_sd=0.4, tie_weight=0.4, questions=("quality", "alignment"), seed=4,
    )  # fmt: skip
    rng = np.random.default_rng(5)
    bad = (made["winner"] == "tie") & (rng.random(len(made)) < 0.4)
    made["winner"] = made["winner"].mask(bad, "both_bad")
    certain = (made["model_a"] == "w") & (made["model_b"] == "z")
    made["winner"] = made["winner"].mask(certain, "model_a")
    turned = rng.random(len(made)) < 0.5
    swapped = made.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    swapped["winner"] = swapped["winner"].replace({"model_a": "model_b", "model_b": "model_a"})
    made.loc[turned] = swapped.loc[turned, made.columns]
    made["left_model"] = made["left_model"].mask(rng.random(len(made)) < 0.1, "")
    made["kind"] = np.where(rng.random(len(made)) < 0.1, "repeat", "main")
    made["annotator_id"] = made["annotator_id"].replace({"simulated-0001": "o'neil"})
    has_y = (made["model_a"] == "y") | (made["model_b"] == "y")
    return made[~(has_y & (made["question_id"] == "alignment"))].drop(
        columns="pair_id", errors="ignore"
    )


@pytest.fixture(scope="module")
def people(votes):
    """The same votes without the mark of simulated ones, which sums do not carry."""
    return votes.drop(columns="vote_source")


@pytest.fixture(scope="module")
def large(votes, tmp_path_factory):
    """The same votes read out of core, in parts of 100."""
    path = write(tmp_path_factory.mktemp("votes") / "votes.parquet", votes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(out_of_core, "_PART", 100)
        return read_large(path)


@pytest.mark.parametrize("rule", ["half", "drop", "both_bad_apart"])
@pytest.mark.parametrize("interval", ["two-way", "wilson", "by-prompt", "by-annotator"])
def test_win_rates_are_those_in_memory(people, large, rule, interval):
    expected = win_rates(people, ties=rule, interval=interval)
    found = win_rates_of(large.pairs, ties=rule, interval=interval)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


@pytest.mark.parametrize("ties", ["half", "drop", "model"])
def test_ratings_are_those_in_memory(people, large, ties):
    found = ratings_of(large.pairs, ties=ties)
    pd.testing.assert_frame_equal(found, ratings(people, ties=ties), rtol=1e-7)


def test_unequal_annotators_have_the_freedom_of_effective_ones_there_too(people, tmp_path):
    first = people["annotator_id"].isin(people["annotator_id"].unique()[:6])
    table = people.assign(annotator_id=people["annotator_id"].mask(first, "most"))
    sums = read_large(write(tmp_path / "votes.parquet", table)).pairs
    pd.testing.assert_frame_equal(win_rates_of(sums), win_rates(table), rtol=1e-9)
    pd.testing.assert_frame_equal(ratings_of(sums), ratings(table), rtol=1e-7)
    widths = [
        (one["ci_high"] - one["ci_low"]).mean() for one in (ratings_of(sums), ratings(people))
    ]
    assert widths[0] > 1.5 * widths[1]


@pytest.mark.parametrize("interval", ["two-way", "wilson", "by-annotator"])
def test_rules_for_ties_and_sides_are_those_in_memory(people, large, interval):
    found = tie_rules_of(large.pairs, interval=interval)
    pd.testing.assert_frame_equal(found, tie_rules(people, interval=interval), rtol=1e-9)
    found = left_share_of(large.pairs, large.sides, interval=interval)
    pd.testing.assert_frame_equal(found, left_share(people, interval=interval), rtol=1e-9)


def test_sums_do_not_depend_on_the_parts(votes, large):
    """Clusters lie in one part each, so sums over parts are sums over all."""
    main = votes[(votes["kind"] == "main") & (votes["question_id"] == "quality")]
    whole, parts = vote_sums(encode(main)), large.pairs["quality"]
    np.testing.assert_array_equal(whole.counts, parts.counts)
    for one, other in (
        (whole.by_prompt.prompts, parts.by_prompt.prompts),
        (whole.by_prompt.cells, parts.by_prompt.cells),
        (whole.annotators, parts.annotators),
    ):
        np.testing.assert_array_equal(one.gram, other.gram)
        for rule, present in one.present.items():
            np.testing.assert_array_equal(present, other.present[rule])
    assert whole.heaviest == parts.heaviest
    assert whole.heaviest  # w against z


def test_one_sided_questions_are_said_and_not_fitted(tmp_path):
    rows = [(f"a{i}", f"p{i}", "q", "x", "y", "model_a", "") for i in range(4)]
    large = read_large(write(tmp_path / "votes.parquet", frame(rows)))
    found = ratings_of(large.pairs)
    assert found["rating"].isna().all()
    assert found["method"].str.contains("no finite rating").all()
    assert left_share_of(large.pairs, large.sides)["method"].str.contains("no side is known").all()


@pytest.mark.parametrize(("changes", "parts"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_cell_is_refused_with_its_row(tmp_path, changes, parts):
    table = frame().assign(response_ms="900", kind="main", trial_id=["t1", "t2", "t3"])
    table = table.assign(vote_source="")
    for name, value in changes.items():
        table.loc[1, name] = value
    path = write(tmp_path / "votes.parquet", table)
    with pytest.raises(TableError) as refused:
        read_large(path)
    assert str(refused.value).startswith(f"{path}: row 2, column ")
    for part in parts:
        assert part in str(refused.value)


def test_a_second_vote_on_the_same_images_is_refused(tmp_path):
    rows = [frame().iloc[0].tolist()] * 2
    table = frame(rows).assign(pair_id="k1")
    with pytest.raises(TableError, match='row 2, column pair_id: "k1" stands twice'):
        read_large(write(tmp_path / "votes.parquet", table))
    repeat = table.assign(kind=["main", "repeat"])
    assert read_large(write(tmp_path / "repeat.parquet", repeat)).pairs["quality"].counts.sum() == 1


def test_excluded_votes_do_not_count(tmp_path):
    table = frame().assign(excluded_by=["", "attention_below", ""])
    large = read_large(write(tmp_path / "votes.parquet", table))
    assert large.pairs["quality"].counts.sum() == 2
    assert (large.n_rows, large.n_main) == (3, 3)
    assert (large.n_annotators, large.n_prompts) == (1, 2)  # bob's only vote is set aside


def test_the_summary_has_the_counts_of_one_in_memory(tmp_path):
    table = frame([*VOTES, ("eve", "p3", "quality", "x", "y", "tie", "")])
    table = table.assign(excluded_by=["", "attention_below", "", ""])
    table = table.assign(kind=["main", "main", "main", "repeat"])
    path = write(tmp_path / "votes.parquet", table)
    in_memory = analyze_file(path, tmp_path / "memory").summary
    on_disk = analyze_file(path, tmp_path / "disk", out_of_core=True)
    apart = {"out_of_core", "not_computed"}
    assert on_disk.summary.keys() == in_memory.keys()
    for key in in_memory.keys() - apart:
        assert on_disk.summary[key] == in_memory[key], key
    assert (in_memory["annotators"], in_memory["votes_excluded"]) == (1, 1)
    lines = analysis_lines(on_disk.results, on_disk.summary)
    assert "1 of 3 main votes excluded by rule." in lines  # no sensitivity.csv to point at


def test_too_many_pairs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(out_of_core, "MOST_PAIRS", 1)
    rows = [("a", "p", "q", "x", other, "tie", "") for other in "yz"]
    with pytest.raises(TableError, match="2 pairs of models on q; allowed out of core are 1"):
        read_large(write(tmp_path / "votes.parquet", frame(rows)))


def test_only_parquet_is_counted_on_the_disk(tmp_path):
    path = write(tmp_path / "votes.csv", frame())
    assert not is_large(path)
    with pytest.raises(TableError, match='the ending ".csv"; out of core only .parquet'):
        read_large(path)


def test_a_large_file_is_counted_on_the_disk_by_itself(votes, tmp_path, monkeypatch):
    path = write(tmp_path / "votes.parquet", votes)
    assert not is_large(path)
    in_memory = analyze_file(path, tmp_path / "memory")
    monkeypatch.setattr(out_of_core, "ROWS_IN_MEMORY", len(votes) - 1)
    assert is_large(path)
    on_disk = analyze_file(path, tmp_path / "disk")
    for name in ("win_rates", "tie_rules", "sides", "ratings"):
        pd.testing.assert_frame_equal(on_disk[name], in_memory[name], rtol=1e-7)
        assert (tmp_path / "disk" / f"{name}.csv").is_file()
    summary = json.loads((tmp_path / "disk" / "summary.json").read_text())
    assert summary["out_of_core"]
    assert summary["simulated"]
    assert "single votes" in summary["not_computed"]["agreement"]
    assert not (tmp_path / "disk" / "agreement.csv").exists()
    for key in ("votes_received", "votes_counted", "questions", "models"):
        assert summary[key] == in_memory.summary[key]


def test_what_needs_single_votes_is_refused_out_of_core(tmp_path):
    path = write(tmp_path / "votes.parquet", frame())
    for options, name in (
        (Options(by="category"), "--by category"),
        (Options(interval="bootstrap"), "--interval bootstrap"),
    ):
        with pytest.raises(EvalkitError, match=f"{name}: needs single votes"):
            analyze_file(path, tmp_path / "out", options, out_of_core=True)
    with pytest.raises(EvalkitError, match="--format arena: out of core"):
        analyze_file(path, tmp_path / "out", format="arena", out_of_core=True)
    duckdb.from_df(frame([])).write_parquet(str(tmp_path / "none.parquet"))
    with pytest.raises(StudyError, match="no votes in it that count"):
        analyze_file(tmp_path / "none.parquet", tmp_path / "out", out_of_core=True)
    assert not (tmp_path / "out").exists()
