"""The coordinator's commands as a person meets them: status, pause, block, an early analysis."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from evalkit.analysis.annotators import FLAGS
from evalkit.collection import open_collection
from evalkit.store import open_store
from tests.people import Person
from tests.study_factory import MODELS, NOW, make_study
from tests.study_server import ROOT
from tests.test_cli import assert_refused, evalkit

BEFORE = "2024-01-01T10:00:00.000+00:00"  # the commands live in the present
SCHEMA = {
    "study": str,
    "at": str,
    "paused": (dict, type(None)),
    "planned": int,
    "given": int,
    "per_hour": float,
    "expected_end": (str, type(None)),
    "questions": list,
    "reception": dict,
    "annotators": dict,
    "open_leases": int,
    "is_complete": bool,
    "vote_source": str,
    "flagged": dict,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """36 planned votes; ann gave 20 votes, always left and fast."""
    folder = make_study(
        tmp_path_factory.mktemp("status") / "study",
        votes_per_pair=1,
        trials_per_annotator=24,
    )
    store = open_collection(folder, NOW)
    Person(store, folder.received, "ann", BEFORE).vote(22, choice="left", ms=700)
    Person(store, folder.received, "bob", BEFORE).vote(3)
    store.close()
    return folder


def status(folder):
    done = evalkit("status", folder.root, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_json_is_one_documented_object(folder):
    state = status(folder)
    assert {name: type(value) for name, value in state.items()}.keys() == SCHEMA.keys()
    for name, kind in SCHEMA.items():
        assert isinstance(state[name], kind), name
    assert state["study"] == "factory"
    assert state["planned"] == 36
    assert 0 < state["given"] < 36
    assert state["is_complete"] is False
    assert [question["question_id"] for question in state["questions"]] == ["quality", "alignment"]
    assert set(state["questions"][0]) == {
        "question_id", "pairs", "complete_pairs", "planned", "given",
    }  # fmt: skip
    assert state["reception"] == {
        "received": 25, "kept": 25, "withdrawn": 0, "on_the_way": 0, "simulated": 0,
        "before_journals": 0, "lost": 0,
        "unreceived": 0, "alarm": None,
    }  # fmt: skip
    assert state["annotators"] == {
        "invited": 0, "consented": 2, "at work": 0, "finished": 0, "withdrawn": 0, "blocked": 0,
    }  # fmt: skip
    assert state["flagged"] == {"ann": "fast, one side, one choice"}


def test_every_field_and_flag_is_documented(folder):
    text = (ROOT / "docs" / "coordinator.md").read_text("utf-8")
    state = status(folder)
    fields = {*SCHEMA, *state["questions"][0], *state["reception"], *state["annotators"]}
    assert {field for field in fields if f"`{field}`" not in text} == set()
    assert {flag for flag in FLAGS if f"| {flag} |" not in text} == set()


def test_the_page_says_the_same_in_words(folder):
    given = status(folder)["given"]
    done = evalkit("status", folder.root)
    assert done.returncode == 0, done.stderr
    for part in (
        "factory",
        f"{given} of 36 planned votes",
        "25 received, 25 kept, 0 withdrawn",
        "2 consented",
        "fast, one side, one choice",
    ):
        assert part in done.stdout
    assert "ALARM" not in done.stdout
    assert "evalkit analyze" not in done.stdout
    assert not any(model in done.stdout for model in MODELS)


def test_an_alarm_stands_on_the_page(folder):
    extra = folder.received / "other.jsonl"
    extra.write_text(json.dumps({"trial_id": "lost", "revision": 1, "at": BEFORE}) + "\n")
    try:
        said = " ".join(evalkit("status", folder.root).stdout.split())
    finally:
        extra.unlink()
    assert "ALARM: Fewer votes are kept than were received: 1 that arrived" in said


def test_pause_and_resume(folder):
    done = evalkit("pause", folder.root, "--reason", "lunch")
    assert (done.returncode, done.stderr) == (0, "")
    assert "evalkit resume" in done.stdout
    again = evalkit("pause", folder.root, "--reason", "an evening")
    assert_refused(again, 'is paused already ("lunch"); go on with: evalkit resume')
    assert status(folder)["paused"]["reason"] == "lunch"
    assert evalkit("resume", folder.root).returncode == 0
    assert status(folder)["paused"] is None
    assert_refused(evalkit("resume", folder.root), "not paused")
    assert_refused(evalkit("pause", folder.root, "--reason", " "), "--reason is empty")


def test_block_and_unblock(folder):
    done = evalkit("block", folder.root, "bob", "--reason", "two people in one")
    assert (done.returncode, done.stderr) == (0, "")
    assert status(folder)["annotators"]["blocked"] == 1
    assert evalkit("unblock", folder.root, "bob").returncode == 0
    assert status(folder)["annotators"]["blocked"] == 0
    assert_refused(evalkit("unblock", folder.root, "bob"), "bob is not blocked; there is nothing")
    assert_refused(
        evalkit("block", folder.root, "bobb", "--reason", "x"), 'did you mean "bob"?', "unknown"
    )
    assert_refused(evalkit("unblock", folder.root, "zzz"), 'annotator "zzz": unknown')
    store = open_store(folder.store_address)
    log = store.log()
    store.close()
    events = log.loc[log["annotator_id"] == "bob", ["actor", "event", "detail"]].values.tolist()
    assert ["coordinator", "block", "two people in one"] in events
    assert events[-1][:2] == ["coordinator", "unblock"]


def test_mistakes_are_one_sentence(folder, tmp_path):
    for command in (["status"], ["block", "ann", "--reason", "x"], ["dashboard"]):
        done = evalkit(command[0], tmp_path / "none", *command[1:])
        assert_refused(done, "no such study folder")
    assert_refused(evalkit("status", folder.root, "--watch", "--json"), "leave one out")
    early = make_study(tmp_path / "early", n_prompts=2)
    assert_refused(evalkit("status", early.root), "evalkit serve")


def test_watch_shows_what_changes_until_ctrl_c(folder):
    master, slave = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "evalkit.cli", "status", str(folder.root), "--watch"],
        stdout=slave, stderr=subprocess.STDOUT, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(slave)
    try:
        assert "planned votes" in read_until(master, "open trials")
        store = open_store(folder.store_address)
        store.pause("seen by the watch", NOW)
        assert "seen by the watch" in read_until(master, "seen by the watch")
        store.resume(NOW)
        store.close()
        watching.send_signal(signal.SIGINT)
        with pytest.raises(OSError, match="Input/output error"):  # the other end has closed
            read_until(master, "no such words")
        assert watching.wait(timeout=30) == 130
    finally:
        watching.kill()
        watching.wait()
        os.close(master)


def read_until(terminal, wanted):
    text, end = "", time.monotonic() + 60
    while wanted not in text and time.monotonic() < end:
        text += os.read(terminal, 65536).decode(errors="replace")
    return text


def test_results_before_the_planned_votes_are_refused_or_recorded_and_said(folder):
    given = status(folder)["given"]
    for command in ("analyze", "report"):
        done = evalkit(command, folder.root)
        assert done.returncode == 2
        assert not folder.analysis.exists()
    assert_refused(
        evalkit("analyze", folder.root), f"{given} of 36 planned votes are there", "add --early"
    )
    banner = f"EARLY LOOK: {given} of 36 planned votes; intervals hold for the declared end only"
    done = evalkit("analyze", folder.root, "--early")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == banner
    assert_refused(evalkit("report", folder.root), f"{given} of 36 planned votes", "add --early")
    assert not folder.report.exists()
    assert evalkit("report", folder.root, "--early").returncode == 0
    assert banner in (folder.report / "index.html").read_text("utf-8")

    store = open_store(folder.store_address)
    log = store.log().query("event == 'early look'")
    assert log["actor"].tolist() == ["coordinator"]
    assert json.loads(log["detail"].iloc[0]) == {"given": given, "planned": 36}
    for number in range(6):
        Person(store, folder.received, f"more{number}", BEFORE).vote(99)
    store.close()
    assert status(folder)["is_complete"] is True
    assert "may be analysed: evalkit analyze" in evalkit("status", folder.root).stdout
    assert_refused(evalkit("report", folder.root), "wait for it and run evalkit analyze")
    done = evalkit("analyze", folder.root)
    assert done.returncode == 0, done.stderr
    assert "EARLY" not in done.stdout
    assert evalkit("report", folder.root).returncode == 0
    page = (folder.report / "index.html").read_text("utf-8")
    assert "EARLY LOOK" not in page
    assert f"{given} of 36 at {log['at'].iloc[0]}" in page  # that somebody looked stays told
