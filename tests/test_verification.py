"""verify: an untouched study passes; whatever is changed in it is named."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from evalkit import tables
from evalkit.collection import open_collection
from evalkit.errors import EvalkitError
from evalkit.files import file_sha256
from evalkit.lock import lock_hash
from evalkit.presets import init_study
from evalkit.report import write_report
from evalkit.result_tables import analyze_study
from evalkit.result_tables.estimates import headline_win_rates
from evalkit.result_tables.options import Options
from evalkit.simulate import Population
from evalkit.simulated_study import Planted, simulate_study
from evalkit.study_folder import StudyFolder
from evalkit.verification import require_whole, verify
from study_app.journal import Journal
from tests.study_factory import MODELS, NOW, admit, make_study

LATER = "2031-01-01T10:00:00.000+00:00"
STATES = ("lock", "study", "prompts", "image table", "image files", "public images",
          "vote database", "received votes", "analysis", "report")  # fmt: skip


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A small study to its end: SIMULATED VOTES, analysis and report."""
    folder = make_study(tmp_path_factory.mktemp("verify") / "study", n_prompts=4)
    strengths = {q.id: dict.fromkeys(MODELS, 0.0) for q in folder.study.questions}
    simulate_study(folder, Planted(strengths, Population(tie_weight=0.3), 3), NOW)
    analyze_study(folder)
    write_report(folder, LATER)
    return folder


@pytest.fixture
def folder(reported, tmp_path):
    shutil.copytree(reported.root, tmp_path / "study")
    return StudyFolder(tmp_path / "study")


def failed(folder):
    """The checks that fail, by name, with what they found."""
    return {c.name: c.found for c in verify(StudyFolder(folder.root), LATER) if c.state == "FAILED"}


def flip(path):
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_an_untouched_study_passes_every_check(reported):
    checks = verify(reported, LATER)
    assert [(check.name, check.state) for check in checks] == [(name, "ok") for name in STATES]
    assert lock_hash(reported) in checks[0].found
    assert "12 rows" in checks[3].found  # 3 models x 4 prompts x 1 seed


def test_what_is_not_there_yet_is_said_and_no_failure(tmp_path):
    init_study(tmp_path / "bare", "scenes")
    bare = {check.state for check in verify(StudyFolder(tmp_path / "bare"), LATER)}
    assert bare == {"not yet"}
    fresh = make_study(tmp_path / "fresh", n_prompts=2)
    states = {check.name: check.state for check in verify(fresh, LATER)}
    assert states == dict.fromkeys(STATES, "not yet") | {"image files": "ok"}
    open_collection(fresh, NOW).close()
    states = {check.name: check.state for check in verify(fresh, LATER)}
    assert states == dict.fromkeys(STATES, "ok") | {"analysis": "not yet", "report": "not yet"}


def test_a_flipped_bit_of_an_image_is_named(folder):
    file = next(folder.images.rglob("*.png"))
    flip(file)
    name = file.relative_to(folder.images).as_posix()
    assert failed(folder) == {"image files": f"images/{name} is another file than the locked one"}
    file.unlink()
    assert failed(folder) == {"image files": f"images/{name} is missing"}


def test_a_flipped_bit_of_a_public_image_is_named(folder):
    file = next(folder.blinded.iterdir())
    flip(file)
    assert failed(folder) == {
        "public images": f"blinded/{file.name} is another file than the locked one"
    }
    (folder.blinded / "more.png").write_bytes(b"")
    file.unlink()
    assert f"blinded/{file.name} is missing" in failed(folder)["public images"]


def test_a_changed_prompt_and_a_changed_question_are_named(folder):
    replace(folder.prompts_file, "one otter", "two otters")
    assert failed(folder)["prompts"].startswith(
        'prompt p000: prompt was "one otter by lake 0" and is "two otters by lake 0"'
    )
    replace(folder.prompts_file, "two otters", "one otter")
    replace(folder.root / "study.toml", "looks better made", "looks worse made")
    found = failed(folder)
    assert found["study"] == (
        'study.toml is not as it was locked: questions.quality.text was "Which image looks better '
        'made?" and is "Which image looks worse made?"'
    )
    assert "vote database" in found  # its votes were given for the other question


def test_a_changed_lock_contradicts_itself(folder):
    replace(folder.lock_file, "one otter", "two otters")
    found = failed(folder)
    assert found["lock"] == "what lock.json holds of prompts is not what its prompts_sha256 is of"
    assert "names the lock" in found["analysis"]
    assert "names the lock" in found["report"]


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": "none"},
        {"images": {"x": 3}},
        {"blinded": []},
        {"study_sha256": None},
        {"study": 1},
    ],
)
def test_a_lock_of_another_shape_fails_without_a_traceback(folder, change):
    lock = json.loads(folder.lock_file.read_text()) | change
    folder.lock_file.write_text(json.dumps({k: v for k, v in lock.items() if v is not None}))
    assert "is not as evalkit writes it" in failed(folder)["lock"]


def change_votes(folder, statement, *values):
    with sqlite3.connect(folder.store_address) as connection:
        assert connection.execute(statement, values).rowcount == 1


def one_trial(folder, kind="main"):
    with sqlite3.connect(folder.store_address) as connection:
        query = (
            "SELECT trial_id, choice FROM votes JOIN trials USING (trial_id) "
            "WHERE kind = ? AND choice IN ('left', 'right') LIMIT 1"
        )
        return connection.execute(query, [kind]).fetchone()


def test_a_changed_vote_is_named_by_its_count_and_by_the_analysis(folder):
    trial_id, choice = one_trial(folder)
    other = {"left": "right", "right": "left"}[choice]
    change_votes(folder, "UPDATE votes SET choice = ? WHERE trial_id = ?", other, trial_id)
    found = failed(folder)
    assert found.keys() == {"vote database", "analysis"}
    assert "a vote was changed after it was given" in found["vote database"]
    assert found["analysis"].startswith(f'trial {trial_id}: winner is "model_')


def test_a_vote_that_is_taken_away_is_named(folder):
    trial_id, _ = one_trial(folder)
    change_votes(folder, "DELETE FROM votes WHERE trial_id = ?", trial_id)
    found = failed(folder)
    assert found["vote database"] == f"trial {trial_id} was answered, and its vote is not there"
    assert f"the vote on trial {trial_id} was analysed" in found["analysis"]


def test_a_database_of_another_study_and_a_missing_one_are_named(folder, tmp_path):
    other = make_study(tmp_path / "other", n_prompts=2, votes_per_pair=3)
    open_collection(other, NOW).close()
    shutil.copy(other.store_address, folder.store_address)
    assert "for another form of study.toml" in failed(folder)["vote database"]
    folder.store_address.unlink()
    assert "votes.sqlite with the votes is not there" in failed(folder)["vote database"]


def test_a_changed_table_is_named_in_the_report_and_in_the_analysis(folder):
    table = folder.report / "tables" / "win_rates.csv"
    replace(table, "secret-alpha", "secret-gamma")
    assert failed(folder) == {
        "report": "report/tables/win_rates.csv is not the file that the report wrote"
    }
    shutil.copy(table, folder.analysis / "win_rates.csv")
    assert failed(folder)["analysis"] == (
        "analysis/win_rates.csv is not the table that the analysis wrote"
    )


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("index.html", "SIMULATED VOTES", ""),
        ("methods.md", "votes", "people"),
        ("datasheet.md", "votes", "people"),
        ("tables/win_rates.tex", "SIMULATED VOTES", ""),
        ("tables/comparisons.csv", "model_a", "model_b"),
        ("pairs/made.json", "small", "large"),
    ],
)
def test_whatever_is_changed_in_a_report_is_named(folder, name, old, new):
    replace(folder.report / name, old, new)
    assert failed(folder) == {"report": f"report/{name} is not the file that the report wrote"}


def test_a_file_more_or_less_in_a_report_is_named(folder):
    (folder.report / "tables" / "more.csv").write_text("n\n1\n")
    assert failed(folder) == {"report": "report/tables/more.csv is not of the report"}
    (folder.report / "tables" / "more.csv").unlink()
    (folder.report / "methods.md").unlink()
    assert failed(folder) == {"report": "report/methods.md is missing"}
    folder.report_record.write_text('{"lock": 1, "files": 2}')
    assert failed(folder) == {"report": "report/files.json is not as evalkit writes it"}
    folder.report_record.unlink()
    assert failed(folder) == {"report": "report/files.json, which names its files, is missing"}


def change_json(path, change):
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def written_anew(folder, name):
    """Whoever forges a table of the analysis writes its new hash into the summary."""
    sha256 = file_sha256(folder.analysis / name)
    summary = folder.analysis / "summary.json"
    change_json(summary, lambda content: content["tables_sha256"].update({name: sha256}))


@pytest.mark.parametrize("name", ["win_rates.csv", "ratings.csv", "comparisons.csv"])
def test_a_table_without_its_hash_is_named(folder, name):
    summary = folder.analysis / "summary.json"
    change_json(summary, lambda content: content["tables_sha256"].pop(name))
    write_report(folder, LATER)
    assert failed(folder) == {"analysis": f"analysis/summary.json has no SHA-256 of {name}"}
    change_json(summary, lambda content: content.pop("tables_sha256"))
    assert "has no SHA-256 of" in failed(folder)["analysis"]


def test_win_rates_that_do_not_follow_from_the_votes_are_named(folder):
    """Forged with their hash, and with a report that shows them."""
    table = tables.read(folder.analysis / "win_rates.csv", tables.WIN_RATES)
    row = table.iloc[0]
    forged = table.assign(wins_a=table["wins_a"].where(table.index > 0, row["wins_a"] + 1))
    tables.write(forged, folder.analysis / "win_rates.csv", tables.WIN_RATES)
    written_anew(folder, "win_rates.csv")
    write_report(folder, LATER)
    assert failed(folder) == {
        "analysis": f"analysis/win_rates.csv: {row['question_id']}, {row['model_a']}, "
        f"{row['model_b']}: wins_a is {row['wins_a'] + 1}, and {row['wins_a']} by "
        "analysis/comparisons.csv"
    }
    tables.write(table.iloc[1:], folder.analysis / "win_rates.csv", tables.WIN_RATES)
    written_anew(folder, "win_rates.csv")
    assert "is missing by analysis/comparisons.csv" in failed(folder)["analysis"]


@pytest.mark.parametrize(
    "options",
    [Options(ties="drop", interval="bootstrap", seed=3), Options(ties="model", level=0.9)],
)
def test_win_rates_follow_by_the_options_they_were_made_with(folder, options):
    analyze_study(folder, options=options)
    assert failed(folder).keys() == {"report"}
    summary = folder.analysis / "summary.json"
    change_json(summary, lambda content: content["options"].update(level=0.5))
    assert ": ci_" in failed(folder)["analysis"]
    change_json(summary, lambda content: content["options"].update(ties="lost"))
    assert "does not say by which options" in failed(folder)["analysis"]


def test_votes_that_are_set_aside_by_hand_are_named(tmp_path):
    """Where nothing has come since by which the rules could set them aside."""
    folder = make_study(tmp_path / "study", n_prompts=2, attention_share=0, repeat_share=0)
    with closing(open_collection(folder, NOW)) as store:
        session = admit(store, "ann")
        for number in (1, 2):
            store.next_trial("ann", session, f"t{number}", NOW, seed=number)
            Journal(folder.received).received(f"t{number}", 1, NOW)
            store.record_vote(f"t{number}", "ann", "left", 900, NOW)
    analyze_study(folder, early_at=NOW)
    assert failed(folder) == {}
    votes = tables.read(folder.analysis / "comparisons.csv", tables.COMPARISONS)
    trial_id = votes["trial_id"].iloc[0]
    votes.loc[0, "excluded_by"] = "fast"
    tables.write(votes, folder.analysis / "comparisons.csv", tables.COMPARISONS)
    rates = headline_win_rates(votes, Options())
    tables.write(rates, folder.analysis / "win_rates.csv", tables.WIN_RATES)
    for name in ("comparisons.csv", "win_rates.csv"):
        written_anew(folder, name)
    assert failed(folder)["analysis"] == (
        f'trial {trial_id}: excluded_by is "fast" in analysis/comparisons.csv, and "" by the vote '
        "database"
    )


def test_a_report_of_an_earlier_analysis_names_the_command_that_writes_it_anew(folder):
    analyze_study(folder, options=Options(ties="drop"))
    [check] = [check for check in verify(folder, LATER) if check.state == "FAILED"]
    assert check.found.endswith("is not the table of the analysis")
    assert check.remedy == (
        f"put back what was changed from a copy, or make it anew with: evalkit report {folder.root}"
    )
    with pytest.raises(EvalkitError, match=f"anew with: evalkit report {folder.root}$"):
        require_whole([check], "import")
    write_report(folder, LATER)
    assert failed(folder) == {}


def test_a_correction_after_an_early_analysis_is_later_and_not_wrong(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2, attention_share=0, repeat_share=0)
    journal, store = Journal(folder.received), open_collection(folder, NOW)
    session = admit(store, "ann")
    for number, choice in enumerate(["left", "right"], start=1):
        at = f"2030-01-01T10:0{number}:00.000+00:00"
        store.next_trial("ann", session, f"t{number}", at, seed=number)
        journal.received(f"t{number}", 1, at)
        store.record_vote(f"t{number}", "ann", choice, 900, at)
    analyze_study(folder, early_at="2030-01-01T10:03:00.000+00:00")
    at = "2030-01-01T10:04:00.000+00:00"
    journal.received("t2", 2, at)
    store.record_vote("t2", "ann", "tie", 900, at, revision=2)
    store.close()
    checks = {check.name: check for check in verify(folder, LATER)}
    assert checks["analysis"].state == "ok"
    assert "1 were corrected after it" in checks["analysis"].found
    analyze_study(folder, early_at="2030-01-01T10:05:00.000+00:00")
    checks = {check.name: check for check in verify(folder, LATER)}
    assert checks["analysis"].state == "ok" and "corrected" not in checks["analysis"].found
    votes = tables.read(folder.analysis / "comparisons.csv", tables.COMPARISONS)
    votes["winner"] = votes["winner"].mask(votes["trial_id"] == "t2", "both_bad")
    tables.write(votes, folder.analysis / "comparisons.csv", tables.COMPARISONS)
    written_anew(folder, "comparisons.csv")
    assert failed(folder)["analysis"] == (
        'trial t2: winner is "both_bad" in analysis/comparisons.csv, and "tie" by the vote database'
    )


def test_votes_of_people_are_held_against_those_that_arrived(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2)
    store = open_collection(folder, NOW)
    session = admit(store, "ann")
    store.next_trial("ann", session, "t1", NOW, seed=0)
    store.record_vote("t1", "ann", "left", 900, NOW)
    store.close()
    assert "never arrived at the server" in failed(folder)["received votes"]
    journal = Journal(folder.received)
    journal.received("t1", 1, NOW)
    assert failed(folder) == {}
    journal.received("t2", 1, NOW)
    assert "1 that arrived are not in the database" in failed(folder)["received votes"]


HASHES = ("study_sha256", "prompts_sha256", "images_sha256", "evalkit", "locked_at")


def without(folder, *parts):
    change_json(folder.lock_file, lambda lock: [lock.pop(part) for part in parts])


def test_a_study_locked_with_hashes_alone_is_verified_by_them(folder):
    """As before locks had contents; its analysis may name no lock."""
    lock = json.loads(folder.lock_file.read_text())
    folder.lock_file.write_text(json.dumps({key: lock[key] for key in HASHES}))
    summary = folder.analysis / "summary.json"
    change_json(summary, lambda content: content.pop("lock"))
    write_report(folder, LATER)
    assert failed(folder) == {}
    public = {check.name: check for check in verify(folder, LATER)}["public images"]
    assert public.state == "not yet" and "a lock with hashes alone" in public.found
    flip(next(folder.images.rglob("*.png")))
    replace(folder.prompts_file, "one otter", "two otters")
    assert failed(folder).keys() == {"prompts", "image table", "image files"}


@pytest.mark.parametrize("parts", [["blinded"], ["study", "prompts", "images", "blinded"]])
def test_a_lock_that_is_stripped_of_contents_fails(folder, parts):
    without(folder, *parts)
    found = failed(folder)
    assert found["lock"] == f"lock.json holds no {parts[0]}, which was taken out of it"
    assert "names the lock" in found["analysis"] and "names the lock" in found["report"]


def test_a_lock_that_is_stripped_to_its_hashes_is_not_the_one_that_was_analysed(folder):
    without(folder, "study", "prompts", "images", "blinded", "python", "libraries")
    assert failed(folder).keys() == {"analysis", "report"}
