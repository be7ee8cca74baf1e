"""Exports as tables: read back, they give the same analysis, and they point at nobody."""

import json
import re
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from evalkit import exports, tables
from evalkit.cli import app
from evalkit.collection import open_collection
from evalkit.errors import EvalkitError, StudyError, TableError
from evalkit.exports import export_study, study_export
from evalkit.exports.published import numbered, pseudonyms
from evalkit.result_tables import Options, analyze_file, analyze_study
from evalkit.study_folder import StudyFolder
from tests.exported import PIDS, REASON, people_study, simulated_study
from tests.study_factory import NOW
from tests.test_cli import assert_refused, evalkit

SAME = ("win_rates", "ratings", "agreement", "sides", "elo", "tie_rules", "stability")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulated_study(tmp_path_factory.mktemp("simulated") / "study")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return people_study(tmp_path_factory.mktemp("people") / "study")


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)


def log_of(folder: StudyFolder) -> list[tuple[str, str]]:
    with sqlite3.connect(folder.store_address) as connection:
        return connection.execute("SELECT at, event FROM log ORDER BY at").fetchall()


# Read back


@pytest.mark.parametrize(
    ("format", "whose", "interval"),
    [
        ("csv", "simulated", "bootstrap"),
        ("parquet", "simulated", "two-way"),
        ("csv", "people", "two-way"),
        ("parquet", "people", "bootstrap"),
    ],
)
def test_an_export_gives_the_same_analysis_to_the_last_digit(
    request, tmp_path, format, whose, interval
):
    folder = request.getfixturevalue(whose)
    options = Options(interval=interval, seed=3)
    export_study(folder, tmp_path / "out", format)
    of_study = analyze_study(folder, options=options, out=tmp_path / "study-tables")
    votes = tmp_path / "out" / f"votes.{format}"
    of_file = analyze_file(votes, tmp_path / "file-tables", options)
    for name in SAME:
        expected, found = of_study[name], of_file[name]
        if name == "stability":  # it names annotators
            expected, found = (frame.drop(columns="without") for frame in (expected, found))
        pd.testing.assert_frame_equal(found, expected, check_exact=True, obj=name)
        assert len(found) > 0
    for count in ("votes_main", "votes_excluded"):
        assert of_file.summary[count] == of_study.summary[count]


def test_rules_still_set_votes_aside_after_an_export(simulated, tmp_path):
    export_study(simulated, tmp_path / "out")
    votes = read(tmp_path / "out", "votes")
    aside = votes["excluded_by"] == "same_side_above"
    assert 0 < aside.sum() < len(votes)
    assert set(votes["kind"]) == {"main", "repeat"}
    counts = analyze_file(tmp_path / "out" / "votes.csv", tmp_path / "tables")["exclusions"]
    expected = analyze_study(simulated, out=tmp_path / "study-tables")["exclusions"]
    rule = "same_side_above"
    for name in ("n_annotators", "n_votes"):
        found = counts.set_index("rule").loc[rule, name]
        assert found == expected.set_index("rule").loc[rule, name] > 0


def test_votes_say_what_was_pressed_and_shown(people, tmp_path):
    export_study(people, tmp_path / "out")
    votes, pairs = read(tmp_path / "out", "votes"), read(tmp_path / "out", "pairs")
    assert list(votes.columns[: len(tables.IMPORTED_VOTES.names) - 1]) == [
        name for name in tables.IMPORTED_VOTES.names if name != "vote_source"
    ]
    left = votes["left_model"] == votes["model_a"]
    won = {"model_a": {True: "left", False: "right"}, "model_b": {True: "right", False: "left"}}
    for winner, side, choice in zip(votes["winner"], left, votes["choice"], strict=True):
        assert choice == (won[winner][side] if winner in won else winner)
    shown = votes[["pair_id", "image_a", "image_b", "seed"]].drop_duplicates()
    assert len(shown) == shown["pair_id"].nunique()
    assert shown.merge(pairs, on=["pair_id", "image_a", "image_b", "seed"]).shape[0] == len(shown)
    images = read(tmp_path / "out", "images")
    assert set(votes["image_a"]) | set(votes["image_b"]) <= set(images["image_id"])
    assert len(read(tmp_path / "out", "prompts")) == 4


# Nobody is pointed at


@pytest.mark.parametrize("format", list(exports.FORMATS))
def test_no_id_and_no_reason_of_a_person_leaves_the_study(people, tmp_path, format):
    export_study(people, tmp_path / "out", format)
    secrets = ["hidden-", "sitting-", "external-session", REASON, *PIDS, "trial-hidden"]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) >= 2
    for file in files:
        data = file.read_bytes()
        if file.suffix == ".parquet":
            data = repr(pd.read_parquet(file).to_dict("list")).encode()
        assert not [secret for secret in secrets if secret.encode() in data], file.name


def test_pseudonyms_are_numbers_in_the_order_of_the_ids(people, tmp_path):
    """The ids were given in the order hidden-9, hidden-8, ...: so hidden-6 is a01."""
    export_study(people, tmp_path / "out")
    votes = read(tmp_path / "out", "votes")
    assert sorted(votes["annotator_id"].unique()) == ["a01", "a02", "a03", "a04"]
    assert votes["annotator_id"].iloc[0] == "a04"  # who came first
    assert set(zip(votes["annotator_id"], votes["session_id"], strict=True)) == {
        (f"a0{number}", f"s0{number}") for number in range(1, 5)
    }
    assert votes["trial_id"].tolist() == numbered("t", len(votes))
    ids = pd.Series([f"{number:x}" for number in range(150)] * 2)
    named = pseudonyms(ids, "a")
    assert sorted(ids.unique()) == [
        id for _, id in sorted(dict(zip(named, ids, strict=True)).items())
    ]


def test_dropped_annotators_leave_no_column_and_no_order_in_time(people, tmp_path):
    export_study(people, tmp_path / "out", drop_annotators=True)
    votes = read(tmp_path / "out", "votes")
    assert not {"annotator_id", "session_id", "created_at", "reason"} & set(votes.columns)
    assert votes["question_id"].is_monotonic_increasing
    export_study(people, tmp_path / "named")
    exact = read(tmp_path / "named", "votes")["response_ms"].astype(int)
    assert any(exact % 100)  # so that rounding can be seen
    assert sorted(votes["response_ms"].astype(int)) == sorted(round(ms, -2) for ms in exact)
    readme = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "Annotators, sessions and times were left out" in readme
    assert "`evalkit analyze` refuses it" in readme
    with pytest.raises(TableError, match="column annotator_id is missing"):
        analyze_file(tmp_path / "out" / "votes.csv", tmp_path / "tables")


def test_reasons_come_only_where_they_are_asked_for(people, tmp_path):
    export_study(people, tmp_path / "out", with_reasons=True)
    assert set(read(tmp_path / "out", "votes")["reason"]) == {REASON}
    assert "may name people" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_withdrawn_votes_are_not_there_and_are_said(tmp_path):
    folder = people_study(tmp_path / "study")
    store = open_collection(folder, NOW)
    gone = store.withdraw("hidden-6", NOW)
    store.close()
    done = export_study(folder, tmp_path / "out", early_at=NOW)
    votes = read(tmp_path / "out", "votes")
    assert votes["annotator_id"].nunique() == 3
    assert done.rows["votes.csv"] == len(votes)
    assert f"{gone} votes withdrawn by annotators are not here." in (
        tmp_path / "out" / "README.md"
    ).read_text("utf-8")


# What is said


@pytest.mark.parametrize("format", list(exports.FORMATS))
def test_simulated_votes_are_said_in_every_format_and_those_of_people_are_not(
    simulated, people, tmp_path, format
):
    for name, folder in (("simulated", simulated), ("people", people)):
        done = export_study(folder, tmp_path / name, format)
        readme = (tmp_path / name / "README.md").read_text("utf-8")
        is_simulated = name == "simulated"
        assert done.stamps == ([tables.SIMULATED] if is_simulated else [])
        assert ("**SIMULATED VOTES**" in readme) == is_simulated
        assert ("simulated" in readme.lower()) == is_simulated
        for file in [path for path in (tmp_path / name).rglob("*") if path.suffix != ".md"]:
            if file.is_file():
                reader = pd.read_csv if file.suffix == ".csv" else pd.read_parquet
                frame = reader(file)
                assert tables.is_simulated(frame) == is_simulated, file


def test_before_the_planned_end_an_export_is_an_early_look(tmp_path):
    folder = people_study(tmp_path / "study", n_people=1)
    with pytest.raises(StudyError, match="planned votes are there.*add --early"):
        export_study(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "early look" not in [event for _, event in log_of(folder)]
    later = "2030-01-02T10:00:00.000+00:00"
    done = export_study(folder, tmp_path / "out", early_at=later)
    assert done.stamps[0].startswith("EARLY LOOK: ")
    assert "**EARLY LOOK: " in (tmp_path / "out" / "README.md").read_text("utf-8")
    assert (later, "early look") in log_of(folder)


def test_an_export_of_all_planned_votes_is_no_early_look(people, tmp_path):
    export_study(people, tmp_path / "out", early_at=NOW)
    assert "early look" not in [event for _, event in log_of(people)]


# Mistakes, and nothing half written


def test_a_folder_that_holds_something_is_refused_and_an_empty_one_is_taken(people, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StudyError, match="--to: .*full is there and not empty"):
        export_study(people, tmp_path / "full")
    with pytest.raises(StudyError, match="--to: .*file is no folder"):
        export_study(people, tmp_path / "file")
    export_study(people, tmp_path / "empty")
    names = {"README.md", "votes.csv", "prompts.csv", "images.csv", "pairs.csv"}
    assert {path.name for path in (tmp_path / "empty").iterdir()} == names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]


def test_a_failure_while_writing_leaves_nothing(people, tmp_path, monkeypatch):
    def fail(content, target):
        (target / "half.csv").write_text("half")
        raise OSError(28, "No space left on device", "half.csv")

    monkeypatch.setitem(study_export.FORMATS, "csv", fail)
    with pytest.raises(OSError, match="No space"):
        export_study(people, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "parqet"}, '--format: "parqet"; allowed is one of csv.*did you mean "parquet"'),
        ({"format": "preference", "with_reasons": True}, "--with-reasons: .*no place for reasons"),
        ({"format": "pickapic", "drop_annotators": True}, "--drop-annotators: .*has a user_id"),
    ],
)
def test_options_that_a_format_has_no_place_for_are_refused(people, tmp_path, options, message):
    with pytest.raises(EvalkitError, match=message):
        export_study(people, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_is_gone_is_one_sentence_and_leaves_nothing(tmp_path):
    folder = people_study(tmp_path / "study")
    name = folder.read_images()["file_name"].iloc[0]
    (folder.images / name).unlink()
    with pytest.raises(StudyError, match=re.escape(name) + ": the image cannot be read .*generate"):
        export_study(folder, tmp_path / "out", "datasets")
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_the_command_says_what_it_wrote_and_refuses_in_one_sentence(simulated, tmp_path):
    out = tmp_path / "out"
    done = evalkit("export", simulated.root, "--to", out)
    assert done.returncode == 0, done.stderr
    n = len(read(out, "votes"))
    assert done.stdout.splitlines()[:2] == [tables.SIMULATED, f"{out / 'votes.csv'}: {n} rows"]
    assert_refused(evalkit("export", simulated.root, "--to", out), "not empty")
    command = ["export", str(simulated.root), "--to", str(tmp_path / "json"), "--json"]
    done = CliRunner().invoke(app, command)
    content = json.loads(done.stdout)
    assert content["rows"]["votes.csv"] == n
    assert content["stamps"] == [tables.SIMULATED]


def test_a_study_without_votes_has_nothing_to_export(tmp_path):
    folder = people_study(tmp_path / "study", n_people=0)
    with pytest.raises(StudyError, match="no votes on pairs of models yet"):
        export_study(folder, tmp_path / "out", early_at=NOW)
    assert not (tmp_path / "out").exists()
