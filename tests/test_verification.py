"""verify: an untouched study passes; whatever is changed in it is named."""

import json
import shutil
import sqlite3

import pytest

from evalkit.collection import open_collection
from evalkit.lock import lock_hash
from evalkit.presets import init_study
from evalkit.report import write_report
from evalkit.result_tables import analyze_study
from evalkit.simulate import Population
from evalkit.simulated_study import Planted, simulate_study
from evalkit.study_folder import StudyFolder
from evalkit.verification import verify
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
    assert "does not name the lock" in found["report"]


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
    assert found["analysis"].startswith(f"trial {trial_id}: winner is model_")


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
        "report": "report/tables/win_rates.csv is not the table of the analysis"
    }
    shutil.copy(table, folder.analysis / "win_rates.csv")
    assert failed(folder) == {
        "analysis": "analysis/win_rates.csv is not the table that the analysis wrote"
    }


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


def test_a_study_locked_by_evalkit_0_1_0_is_verified_by_its_hashes(folder):
    lock = json.loads(folder.lock_file.read_text())
    keys = ("study_sha256", "prompts_sha256", "images_sha256", "evalkit", "locked_at")
    folder.lock_file.write_text(json.dumps({key: lock[key] for key in keys}))
    assert failed(folder) == {}
    flip(next(folder.images.rglob("*.png")))
    replace(folder.prompts_file, "one otter", "two otters")
    assert failed(folder).keys() == {"prompts", "image table", "image files"}
