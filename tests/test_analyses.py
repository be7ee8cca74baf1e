"""Whole analyses: every table, its options, exclusions, and files that are written all or not."""

import json
import signal
import subprocess
import sys
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from evalkit import tables
from evalkit.analysis.win_rates import win_rates
from evalkit.cli import app
from evalkit.collection import open_collection
from evalkit.errors import EvalkitError, StudyError, TableError
from evalkit.report import write_report
from evalkit.result_tables import Options, analyze_file, analyze_study, writing
from evalkit.result_tables.estimates import table_of
from evalkit.simulate import Population, simulate_comparisons
from evalkit.simulated_sessions import simulate_sessions
from evalkit.wording import analysis_lines
from tests.study_factory import NOW, make_study

OF_VOTES = {
    "win_rates", "tie_rules", "sides", "ratings", "stability", "elo", "agreement", "annotators",
    "exclusions", "sensitivity",
}  # fmt: skip
AGAINST_METRICS = {
    "metric_agreement", "metric_bins", "metric_differences", "disagreements", "judge_bias", "sets",
    "spreads",
}  # fmt: skip
STRENGTHS = {"secret-alpha": 1.0, "secret-beta": 0.0, "secret-gamma": -1.0}


@pytest.fixture(scope="module")
def votes():
    made = simulate_comparisons(
        {"x": 0.6, "y": 0.0, "z": -0.4}, n_prompts=10, votes_per_prompt=4, n_annotators=8,
        prompt_sd=0.4, tie_weight=0.3, questions=("quality", "alignment"), seed=3,
    )  # fmt: skip
    return made.assign(category=np.where(made["prompt_id"] < "prompt-00006", "Animals", "Arts"))


@pytest.fixture
def file(votes, tmp_path):
    path = tmp_path / "votes.csv"
    votes.to_csv(path, index=False)
    return path


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_table_is_written_and_labelled(file, tmp_path):
    analysis = analyze_file(file, tmp_path / "out")
    assert set(analysis.results) == OF_VOTES
    names = {*(f"{name}.csv" for name in OF_VOTES), "summary.json"}
    assert set(written(tmp_path / "out")) == names
    for name in OF_VOTES:
        table = tables.read(tmp_path / "out" / f"{name}.csv", table_of(name))
        assert len(table) == len(analysis[name]) > 0
        assert (table["vote_source"] == tables.SIMULATED).all(), name
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["votes_counted"] == 2 * 3 * 10 * 4
    assert summary["options"]["ties"] == "half"


def test_the_same_votes_and_seed_give_the_same_files(file, tmp_path):
    for name in ("one", "two"):
        analyze_file(file, tmp_path / name, Options(interval="bootstrap", seed=5))
    assert written(tmp_path / "one") == written(tmp_path / "two")
    analyze_file(file, tmp_path / "two", Options(interval="bootstrap", seed=6))
    assert written(tmp_path / "one") != written(tmp_path / "two")


def test_slices_have_a_table_of_their_own_that_goes_with_the_option(file, votes, tmp_path):
    out = tmp_path / "out"
    found = analyze_file(file, out, Options(by="category"))["win_rates_by_category"]
    assert found["value"].tolist() == ["Animals", "Animals", "Animals", "Arts", "Arts", "Arts"] * 2
    arts = win_rates(votes[votes["category"] == "Arts"])
    np.testing.assert_allclose(
        found.loc[found["value"] == "Arts", "win_rate_a"], arts["win_rate_a"]
    )
    (out / "notes.csv").write_text("mine")
    analyze_file(file, out)
    assert not (out / "win_rates_by_category.csv").exists()
    assert (out / "notes.csv").read_text() == "mine"
    with pytest.raises(TableError, match="--by: .* has no column categry.*category"):
        analyze_file(file, out, Options(by="categry"))


def test_an_option_changes_its_tables(file, tmp_path):
    half = analyze_file(file, tmp_path / "half")
    drop = analyze_file(file, tmp_path / "drop", Options(ties="drop"))
    model = analyze_file(file, tmp_path / "model", Options(ties="model", interval="wilson"))
    assert drop["win_rates"]["n"].sum() < half["win_rates"]["n"].sum()
    assert drop["ratings"]["n"].sum() < half["ratings"]["n"].sum()
    assert model["ratings"]["tie_parameter"].gt(0).all()
    assert model["win_rates"]["win_rate_a"].tolist() == half["win_rates"]["win_rate_a"].tolist()
    assert set(model["win_rates"]["interval"]) == {"wilson"}


def test_a_bad_row_leaves_the_earlier_result(file, tmp_path):
    out = tmp_path / "out"
    analyze_file(file, out)
    before = written(out)
    file.write_text(file.read_text().replace(",model_a,", ",modela,", 1))
    with pytest.raises(TableError, match="modela"):
        analyze_file(file, out)
    assert written(out) == before


def test_a_failure_while_writing_leaves_the_earlier_result(file, tmp_path, monkeypatch):
    out = tmp_path / "out"
    analyze_file(file, out)
    before = written(out)

    def full(*_):
        raise OSError(28, "No space left on device", "summary.json")

    monkeypatch.setattr(writing, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        analyze_file(file, out, Options(ties="drop"))
    assert written(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "votes.csv"]


def test_ids_that_a_file_lacks_are_said_in_every_method(tmp_path):
    path = tmp_path / "battles.csv"
    rng = np.random.default_rng(1)
    winners = rng.choice(["model_a", "model_b", "tie (bothbad)"], 60)
    pd.DataFrame({"model_a": "x", "model_b": "y", "winner": winners}).to_csv(path, index=False)
    analysis = analyze_file(path, tmp_path / "out", format="arena")
    for name in ("win_rates", "ratings", "tie_rules"):
        said = analysis[name]["method"]
        assert said.str.contains("names no annotators").all()
        assert said.str.contains("names no prompts").all()
    assert analysis.summary["ids_unknown"] == ["prompt_id", "annotator_id"]
    assert (analysis.summary["annotators"], analysis.summary["prompts"]) == (None, None)
    assert not {"stability", "annotators"} & set(analysis.results)
    reason = "not computed: the file names no prompts or annotators"
    assert analysis.summary["not_computed"] == {"stability": reason, "annotators": reason}
    lines = analysis_lines(analysis.results, analysis.summary)
    assert "prompts unknown, annotators unknown)" in lines[0]
    assert f"stability, annotators: {reason}." in lines


def test_a_log_that_lacks_only_people_counts_its_prompts(tmp_path):
    path = tmp_path / "battles.csv"
    battles = {"question_id": ["c1", "c1", "c2", "c2"], "model_a": "x", "model_b": "y"}
    pd.DataFrame({**battles, "winner": ["model_a", "tie", "model_b", "model_a"]}).to_csv(path)
    analysis = analyze_file(path, tmp_path / "out", format="arena")
    assert "2 prompts, annotators unknown)" in analysis_lines(analysis.results, analysis.summary)[0]
    assert (analysis.summary["annotators"], analysis.summary["prompts"]) == (None, 2)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("winner", "winner is part of a vote itself.*allowed are category, challenge"),
        ("left_model", "left_model is part of a vote itself"),
        ("question_id", "question_id is part of a vote itself"),
        ("a/b", "'a/b' becomes part of a file's name"),
        ("../../esc", "becomes part of a file's name"),
        ("", "becomes part of a file's name"),
        ("a\nb", r"'a\\nb' becomes part of a file's name"),
    ],
)
def test_a_column_that_gives_no_slices_is_refused(by, message):
    with pytest.raises(EvalkitError, match=f"^--by: .*{message}"):
        Options(by=by)


def test_the_slices_are_said_in_the_terminal(file, tmp_path):
    command = ["analyze", str(file), "--out", str(tmp_path / "out"), "--by", "category"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    said = "win_rates_by_category.csv has the win rates by category, 2 values: Animals, Arts."
    assert said in done.stdout.splitlines()


@pytest.mark.parametrize("interval", ["wilson", "bootstrap"])
def test_rules_for_ties_and_sides_have_the_interval_that_was_asked_for(file, tmp_path, interval):
    analysis = analyze_file(file, tmp_path / "out", Options(interval=interval, seed=5))
    assert set(analysis["tie_rules"]["interval"]) == {interval}
    half = analysis["tie_rules"].query("ties_rule == 'half'").reset_index(drop=True)
    for name in ("ci_low", "ci_high", "p_value"):
        np.testing.assert_array_equal(half[name], analysis["win_rates"][name])
    assert analysis["sides"]["method"].str.contains(interval, case=False).all()


def test_votes_that_a_file_says_are_excluded_do_not_count(votes, tmp_path):
    path = tmp_path / "votes.csv"
    who = votes["annotator_id"] == votes["annotator_id"].iloc[0]
    aside = votes.assign(excluded_by=np.where(who, "attention_below, blocked", ""))
    aside.to_csv(path, index=False)
    analysis = analyze_file(path, tmp_path / "out")
    pd.testing.assert_frame_equal(analysis["win_rates"], win_rates(votes[~who]))
    counts = analysis["exclusions"].set_index("rule")["n_votes"].to_dict()
    n, all_votes = int(who.sum()), len(votes)
    assert counts == {
        "attention_below": n, "blocked": n, "excluded": n, "received": all_votes,
        "counted": all_votes - n,
    }  # fmt: skip
    rates = analysis["sensitivity"].query("measure == 'win_rate_a'")
    np.testing.assert_allclose(rates["estimate_all"], win_rates(votes)["win_rate_a"])
    with pytest.raises(StudyError, match="no votes in it that count"):
        votes.assign(excluded_by="blocked").to_csv(path, index=False)
        analyze_file(path, tmp_path / "none")


def test_json_has_the_summary_and_every_table(file, tmp_path):
    done = CliRunner().invoke(app, ["analyze", str(file), "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert set(content["tables"]) == OF_VOTES
    rates = pd.read_csv(tmp_path / "out" / "win_rates.csv")
    assert [row["win_rate_a"] for row in content["tables"]["win_rates"]] == list(
        rates["win_rate_a"]
    )
    assert content["simulated"]


def excluding_study(root):
    """A voted study with people who press one side only, and a rule against them."""
    folder = make_study(root, n_prompts=8, trials_per_annotator=48, votes_per_pair=4)
    file = root / "study.toml"
    file.write_text(file.read_text() + "\n[exclusions]\nsame_side_above = 0.9\nmin_votes = 10\n")
    folder = type(folder)(root)
    store = open_collection(folder, NOW)
    images = folder.read_images()
    utilities = {
        (question.id, image_id): STRENGTHS[model]
        for question in folder.study.questions
        for image_id, model in zip(images["image_id"], images["model"], strict=True)
    }
    people = Population(straight_lining_share=0.5)
    simulate_sessions(folder, store, utilities, people, seed=2, now=NOW)
    store.close()
    return folder


def test_votes_that_lie_in_the_folder_of_the_tables_stay(file, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    votes = file.rename(out / "comparisons.csv")
    before = votes.read_bytes()
    analyze_file(votes, out)
    assert analyze_file(votes, out).summary["votes_counted"] == 2 * 3 * 10 * 4
    assert votes.read_bytes() == before


def test_tables_of_other_votes_do_not_go_into_a_study(file, tmp_path):
    study = make_study(tmp_path / "study", n_prompts=2)
    there = sorted(study.root.rglob("*"))
    with pytest.raises(StudyError, match="is a study, which keeps its own tables in analysis/"):
        analyze_file(file, study.root)
    assert sorted(study.root.rglob("*")) == there


def test_a_folder_with_the_name_of_a_table_is_refused_before_anything_is_changed(file, tmp_path):
    out = tmp_path / "out"
    analyze_file(file, out)
    (out / "ratings.csv").unlink()
    (out / "ratings.csv").mkdir()
    (out / "ratings.csv" / "mine").write_text("kept")
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(StudyError, match="ratings.csv: a folder has the name of a table"):
        analyze_file(file, out, Options(ties="drop"))
    after = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert after == before
    assert (out / "ratings.csv" / "mine").read_text() == "kept"
    assert len(list(out.iterdir())) == len(before) + 1


def test_a_failure_while_tables_are_exchanged_brings_the_earlier_ones_back(
    file, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    analyze_file(file, out, Options(by="category"))
    before = written(out)
    replace = type(out).replace

    def refused(path, target):
        if path.parent.name == "new" and path.name == "sides.csv":
            raise PermissionError(13, "Permission denied", str(path))
        return replace(path, target)

    monkeypatch.setattr(type(out), "replace", refused)
    with pytest.raises(PermissionError):
        analyze_file(file, out, Options(ties="drop"))
    assert written(out) == before


KILLED_IN_THE_EXCHANGE = """
import os, signal, sys
from pathlib import Path
from evalkit.result_tables import Options, analyze_file

replace = Path.replace

def killed(path, target):
    if path.parent.name == "new" and path.name == "sides.csv":
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(path, target)

Path.replace = killed
analyze_file(Path(sys.argv[1]), Path(sys.argv[2]), Options(ties="drop"))
"""


def test_an_analysis_killed_between_two_tables_has_no_summary_and_the_next_one_is_whole(
    file, tmp_path
):
    out, whole = tmp_path / "out", tmp_path / "whole"
    analyze_file(file, whole, Options(ties="drop"))
    analyze_file(file, out)
    command = [sys.executable, "-c", KILLED_IN_THE_EXCHANGE, str(file), str(out)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert not (out / "summary.json").exists()
    assert (out / "ratings.csv").read_bytes() == (whole / "ratings.csv").read_bytes()
    assert not (out / "sides.csv").exists()
    assert len([path for path in out.iterdir() if path.suffix == ".part"]) == 1
    analyze_file(file, out, Options(ties="drop"))
    assert written(out) == written(whole)


@pytest.fixture(scope="module")
def excluding(tmp_path_factory):
    return excluding_study(tmp_path_factory.mktemp("studies") / "study")


def test_a_study_sets_votes_aside_and_gives_the_headline_both_ways(excluding):
    analysis = analyze_study(excluding)
    assert set(analysis.results) == {
        *OF_VOTES, *AGAINST_METRICS, "comparisons", "scores", "speed",
    }  # fmt: skip
    votes = analysis["comparisons"].query("kind == 'main'")
    aside = votes["excluded_by"] != ""
    assert 0 < aside.sum() < len(votes)
    assert set(votes.loc[aside, "excluded_by"]) == {"same_side_above"}
    assert analysis["win_rates"]["n"].sum() == (~aside).sum()
    assert analysis.summary["votes_excluded"] == aside.sum()
    assert "same_side_above = 0.9" in analysis.summary["exclusion_rule"]
    counts = analysis["exclusions"].set_index("rule")["n_votes"]
    assert counts["same_side_above"] == aside.sum()
    rates = analysis["sensitivity"].query("measure == 'win_rate_a'")
    every = win_rates(votes.drop(columns="excluded_by"))
    np.testing.assert_allclose(rates["estimate_all"], every["win_rate_a"])
    np.testing.assert_allclose(rates["estimate"], analysis["win_rates"]["win_rate_a"])
    sizes = analysis["sensitivity"]["measure"].value_counts().to_dict()
    # two questions: three pairs and three models, and the models' means of the questions
    assert sizes == {
        "win_rate_a": 6, "rating": 6, "left_share": 2, "elo": 9, "krippendorff_alpha": 2,
        "raw_agreement": 2, "repeat_consistency": 2,
    }  # fmt: skip
    people = analysis["annotators"].set_index("annotator_id")["excluded_by"]
    assert set(people[people != ""].index) == set(votes.loc[aside, "annotator_id"])


def test_the_page_says_what_does_not_count_with_the_headline_beside_it(excluding):
    analysis = analyze_study(excluding)
    page = write_report(excluding, NOW).read_text()
    n = analysis.summary["votes_excluded"]
    assert f"{n} of {analysis.summary['votes_main']} main votes excluded by rule" in page
    assert "same_side_above = 0.9" in page
    for row in analysis["sensitivity"].query("measure == 'win_rate_a'").to_dict("records"):
        assert f'<data value="{row["estimate_all"]!r}">' in page
    for name in ("exclusions", "sensitivity", "tie_rules", "elo", "annotators"):
        assert f"tables/{name}.csv" in page
        copied = (excluding.report / "tables" / f"{name}.csv").read_bytes()
        if name != "annotators":  # those have labels there
            assert copied == (excluding.analysis / f"{name}.csv").read_bytes()


def test_a_study_gives_other_tables_to_another_folder(excluding, tmp_path):
    analyze_study(excluding)
    before = written(excluding.analysis)
    command = [
        "analyze",
        str(excluding.root),
        "--out",
        str(tmp_path / "out"),
        "--interval",
        "wilson",
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert written(excluding.analysis) == before
    found = tables.read(tmp_path / "out" / "win_rates.csv", tables.WIN_RATES)
    assert found["method"].str.startswith("Wilson, votes taken as independent").all()
    assert set(written(tmp_path / "out")) == set(before)


def test_comparisons_of_a_study_give_its_tables_again(excluding, tmp_path):
    own = analyze_study(excluding)
    again = analyze_file(excluding.analysis / "comparisons.csv", tmp_path / "out")
    for name in ("win_rates", "tie_rules", "sides", "ratings", "stability", "elo", "sensitivity"):
        pd.testing.assert_frame_equal(again[name], own[name])


def test_slices_of_a_study(excluding):
    analysis = analyze_study(excluding, options=Options(by="challenge"))
    assert "win_rates_by_challenge" in analysis.results
    with pytest.raises(EvalkitError, match="--by: a study has no column chalenge.*challenge"):
        analyze_study(excluding, options=Options(by="chalenge"))
    analyze_study(excluding)


def test_a_study_with_two_categories_has_its_win_rates_by_category(tmp_path):
    folder = make_study(tmp_path / "study", trials_per_annotator=48)
    prompts = folder.read_prompts()
    halves = np.where(np.arange(len(prompts)) % 2, "Arts", "Animals")
    tables.write(prompts.assign(category=halves), folder.prompts_file, tables.PROMPTS)
    with closing(open_collection(folder, NOW)) as store:
        utilities = {
            (question.id, image_id): 0.0
            for question in folder.study.questions
            for image_id in folder.read_images()["image_id"]
        }
        simulate_sessions(folder, store, utilities, Population(), seed=1, now=NOW)
    analysis = analyze_study(folder)
    arts = win_rates(analysis["comparisons"].query("category == 'Arts'"))
    found = analysis["win_rates_by_category"].query("value == 'Arts'")
    assert found["n"].tolist() == arts["n"].tolist()
    np.testing.assert_allclose(found["win_rate_a"], arts["win_rate_a"])
    assert "win_rates_by_challenge" not in analysis.results  # all prompts have one challenge
    assert (folder.analysis / "win_rates_by_category.csv").is_file()


def test_a_study_whose_every_vote_is_set_aside_says_so(tmp_path):
    folder = make_study(tmp_path / "study", trials_per_annotator=48)
    file = folder.root / "study.toml"
    file.write_text(file.read_text() + "\n[exclusions]\nmedian_ms_below = 600000\nmin_votes = 1\n")
    folder = type(folder)(folder.root)
    store = open_collection(folder, NOW)
    ids = folder.read_images()["image_id"]
    utilities = {(q.id, image_id): 0.0 for q in folder.study.questions for image_id in ids}
    simulate_sessions(folder, store, utilities, Population(), seed=1, now=NOW)
    store.close()
    with pytest.raises(StudyError, match="every vote is set aside.*median_ms_below"):
        analyze_study(folder)
    assert not folder.analysis.exists()
