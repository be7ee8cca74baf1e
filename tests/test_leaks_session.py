"""The scripted session of the leak check on the real app: each planted leak is caught by name."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.collection import open_collection
from evalkit.errors import StudyError
from evalkit.leaks import check, check_study, record, refuse_leaks
from evalkit.leaks.key import public_key
from evalkit.leaks.record import _app_sha256, read_record
from evalkit.leaks.rehearsed_app import _shortened
from evalkit.leaks.session import Recording
from evalkit.leaks.timing import check_timing
from evalkit.leaks.visitor import Exchange
from evalkit.leaks.wire import SESSION_CHECKS, check_wire
from evalkit.leaks.words import Words, words_of
from tests.study_factory import NOW, admit, make_study

APP = Path(__file__).parent / "leaking_app.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of two models, so that the session has enough images of each to judge times."""
    root = tmp_path_factory.mktemp("leaks")
    folder = make_study(
        root / "study",
        n_prompts=10,
        seeds=(0, 1, 123456),
        models=("secret-alpha", "secret-beta"),
        trials_per_annotator=40,
    )
    store = open_collection(folder, NOW)
    admit(store, "annotator")
    trial = store.next_trial("annotator", "session-of-annotator", "trial", NOW, 1)
    store.record_vote(trial.trial_id, "annotator", "left", 900, NOW)
    store.close()
    return folder


@pytest.fixture
def planted(folder, monkeypatch):
    """The findings of a scripted session with an app in which this leak is planted."""
    store = open_collection(folder, NOW)
    key = public_key(folder, store)
    store.close()
    models = dict(zip(key["file"], key["model"], strict=True))
    monkeypatch.setenv("EVALKIT_PLANT", json.dumps(models))

    def run(leak):
        return check_study(folder, NOW, app=(sys.executable, "-P", str(APP), leak))

    return run


def test_a_clean_study_passes_and_its_votes_stay_as_they_are(folder):
    before = hashlib.sha256(folder.store_address.read_bytes()).hexdigest()
    findings = check_study(folder, NOW)
    assert [finding.line for finding in findings if not finding.passed] == []
    assert [finding.name for finding in findings[-len(SESSION_CHECKS) :]] == list(SESSION_CHECKS)
    assert hashlib.sha256(folder.store_address.read_bytes()).hexdigest() == before
    lying = {path.name for path in folder.root.iterdir()}
    assert not lying & {"votes.sqlite-wal", "votes.sqlite-journal", "received"}


# A session takes seconds: leaks that are known by different checks are planted together.
PLANTED = [
    {
        "header_by_model": {"image headers"},
        "unpadded": {"image lengths"},
        "storable": {"caching"},
        "slow_model": {"image times"},
        "kind_as_key": {"answers"},
        "file_name": {"ids"},
        "prompt_where_hidden": {"hidden prompts"},
        "model_in_the_page": {"names of models"},
    },
    {
        "etag": {"image headers", "caching"},
        "other_bytes": {"image bytes"},
        "kind_as_value": {"answers"},
        "pair_id_in_the_question": {"ids"},
        "prompt_in_the_question": {"hidden prompts"},
        "model_in_the_question": {"names of models"},
    },
    {"feedback_always": {"answers"}},
]


@pytest.mark.parametrize("leaks", PLANTED, ids=lambda leaks: "+".join(leaks))
def test_planted_leaks_are_caught_by_their_names(planted, leaks):
    findings = planted(",".join(leaks))
    assert {finding.name for finding in findings if not finding.passed} == set.union(
        *leaks.values()
    )


def test_serve_repeats_the_session_only_when_something_changed(folder, monkeypatch):
    check_study(folder, NOW)
    sessions, said = [], []
    plain = check._check_session
    monkeypatch.setattr(check, "_check_session", lambda *a: sessions.append(1) or plain(*a))
    refuse_leaks(folder, NOW, said.append)
    assert sessions == []
    record = json.loads(folder.check_file.read_text())
    record["state"]["app_sha256"] = "of another version of the app"
    folder.check_file.write_text(json.dumps(record))
    refuse_leaks(folder, NOW, said.append)
    assert sessions == [1]
    assert said == []  # it was no first check


def test_serve_refuses_a_study_that_failed_and_says_so_in_one_sentence(planted, folder):
    planted("pair_id")
    with pytest.raises(StudyError) as refused:
        refuse_leaks(folder, NOW, print)
    assert str(refused.value) == (
        f'{folder.root}: the leak check fails: answers: an answer has the unknown key "trials.'
        'pair_id" (and 1 more); annotators could learn which model made an image; see: '
        f"evalkit check {folder.root}"
    )
    assert not read_record(folder.check_file).passed
    check_study(folder, NOW)
    refuse_leaks(folder, NOW, print)


def test_what_stands_behind_the_app_counts_in_the_state_of_a_check(tmp_path, monkeypatch):
    """A copy of the code in which one file of a part is another: so is the hash."""
    package = Path(record.evalkit.__file__).parent
    for part in ("store", "texts", "design"):
        shutil.copytree(package / part, tmp_path / part)
    shutil.copy(package / "blinding.py", tmp_path)
    monkeypatch.setattr(record.evalkit, "__file__", str(tmp_path / "__init__.py"))
    states = [_app_sha256()]
    for name in ("store/leases.py", "texts/de.toml", "design/sides.py", "blinding.py"):
        with (tmp_path / name).open("a") as file:
            file.write("# another\n")
        states.append(_app_sha256())
    assert len(set(states)) == 5


def test_the_session_is_long_enough_to_judge_the_times_of_many_models(folder):
    """Ten trials show twenty images: so many times the models, as far as the study's own go."""
    study = folder.study

    def trials(models, own):
        design = study.design.model_copy(update={"trials_per_annotator": own})
        many = study.model_copy(update={"models": study.models[:1] * models, "design": design})
        return _shortened(many).design.trials_per_annotator

    assert [trials(n, 300) for n in (2, 3, 8, 30)] == [24, 30, 80, 120]
    assert trials(8, 60) == 60


def test_an_app_that_does_not_start_is_said_in_one_sentence(folder):
    broken = (sys.executable, "-c", "print('no such thing')")
    with pytest.raises(StudyError, match=r"does not listen \(no such thing\); mend that"):
        check_study(folder, NOW, app=broken)


# ---- what is searched for


def test_words_are_those_that_are_no_part_of_the_page_anyway(folder):
    store = open_collection(folder, NOW)
    prompts = folder.read_prompts()
    prompts.loc[0, "prompt"] = "an alpha male"
    words = words_of(folder.study, prompts, public_key(folder, store), store.pairs())
    store.close()
    assert {"secret-alpha", "secret-beta", "sdxl-turbo", "stabilityai/sdxl-turbo"} <= words.telling
    assert {"beta", "turbo", "123456", "matchup-1"} <= words.telling
    assert "alpha" in words.ordinary  # a prompt says it
    assert words.telling_in("a SECRET-Alpha here, matchup-12, turbocharged") == ["secret-alpha"]
    assert words.telling_in("matchup-1") == ["matchup-1"]
    assert words.prompts_in("one heron by lake 1, one heron by lake 11") == ["one heron by lake 1"]
    assert words.ids_in(f"data{store_id(folder)}0.") == [store_id(folder)]


def store_id(folder):
    return folder.read_images()["image_id"].iloc[0]


# ---- the commands


@pytest.mark.parametrize("command", ["check", "serve"])
def test_the_commands_end_with_exit_code_2_on_a_leak(folder, command, capsys, monkeypatch):
    stray = folder.blinded / "notes.txt"
    stray.write_text("")
    os.utime(stray, (0, 0))
    monkeypatch.setattr("sys.argv", ["evalkit", command, str(folder.root)])
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        stray.unlink()
    assert ended.value.code == 2
    told = capsys.readouterr()
    if command == "check":
        lines = told.out.splitlines()
        assert lines[0].startswith("LEAK  public files: 1 in the folder of public images is not of")
        assert {line[:6] for line in lines[1:]} == {"ok    ", "warn  "}
        assert told.err.startswith(f"evalkit: check: 1 of {len(lines)} checks of {folder.root}")
    else:
        assert told.out == ""
        assert told.err.startswith(f"evalkit: {folder.root}: the leak check fails: public files: 1")
    assert told.err.count("\n") == 1


def test_the_command_of_a_clean_study_prints_a_line_per_check(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["evalkit", "check", str(folder.root)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert {line[:6] for line in lines} == {"ok    ", "warn  "}  # one model draws small images
    assert last == f"{len(lines)} checks, no leak."


# ---- single exchanges


def exchange(path, body=b"", seconds=0.001, method="GET", headers=()):
    told = (("cache-control", "no-store"), *headers)
    return Exchange(method, path, 200, told, body, seconds, len(body))


NONE = Words(frozenset(), frozenset(), frozenset(), frozenset())


def test_an_address_that_gives_two_images_is_a_leak():
    images = [exchange("/study/image/t/left", body) for body in (b"one", b"two")]
    findings = {f.name: f for f in check_wire(Recording(images), NONE, {}, set())}
    assert not findings["image addresses"].passed
    assert not findings["image bytes"].passed


def test_a_question_with_prompt_before_one_without_is_a_leak():
    trials = {"t1": {"question_id": "alignment"}, "t2": {"question_id": "quality"}}
    recording = Recording([], trials=trials)
    findings = {f.name: f for f in check_wire(recording, NONE, {}, {"alignment"})}
    assert not findings["hidden prompts"].passed


def test_times_are_judged_with_enough_answers_and_a_difference_that_a_network_leaves():
    body = {"a": b"first", "b": b"second"}
    models = {hashlib.sha256(data).hexdigest(): model for model, data in body.items()}

    def judged(n, later_ms):
        images = [
            exchange(f"/study/image/{k}/left", body[model], 0.002 + k / 1e5 + later_ms[model] / 1e3)
            for k in range(n)
            for model in "ab"
        ]
        return check_timing(images, models, seed=1)

    assert judged(30, {"a": 0, "b": 1}).passed  # seen, and too little to matter
    assert not judged(30, {"a": 0, "b": 20}).passed
    assert "not judged" in judged(10, {"a": 0, "b": 20}).found
