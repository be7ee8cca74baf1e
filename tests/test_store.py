"""The vote database on real SQLite: what it refuses, keeps, and survives."""

import multiprocessing
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalkit import tables
from evalkit.collection import open_collection
from evalkit.errors import StoreError
from evalkit.store import StoreUnavailableError, create_store, database, open_store
from tests.study_factory import MODELS, NOW, admit, make_study, open_factory_store

LATER = "2030-01-01T10:00:05.000+00:00"


@pytest.fixture
def store(tmp_path):
    store = open_factory_store(tmp_path / "study")
    yield store
    store.close()


@pytest.fixture
def path(store, tmp_path):
    return tmp_path / "study" / "votes.sqlite"


def everything_in(path):
    with sqlite3.connect(path) as connection:
        return "\n".join(connection.iterdump())


# ---- blindness and tokens


def test_the_database_holds_no_model_name_and_no_token(store, path):
    admit(store, "ann", token="a-very-secret-token")
    trial = store.next_trial("ann", "session-of-ann", "t1", NOW, seed=0)
    store.record_vote(trial.trial_id, "ann", "left", 900, LATER)
    content = everything_in(path)
    assert "Which image looks better made?" in content
    assert "a-very-secret-token" not in content
    for word in (*MODELS, "secret", "sdxl"):
        assert word not in content


def test_a_token_leads_to_its_annotator(store):
    store.add_annotator("ann", "token-1", NOW)
    store.add_annotator("bot", "token-2", NOW, simulated=True)
    assert store.annotator("token-1").annotator_id == "ann"
    assert store.annotator("token-1").consented_at is None
    assert not store.annotator("token-1").simulated
    assert store.annotator("token-2").simulated
    assert store.annotator("token-3") is None
    assert store.annotator("") is None


@pytest.mark.parametrize(("annotator_id", "token"), [("ann", "other"), ("other", "token-1")])
def test_an_id_and_a_token_are_given_once(store, annotator_id, token):
    store.add_annotator("ann", "token-1", NOW)
    with pytest.raises(StoreError, match="is taken"):
        store.add_annotator(annotator_id, token, NOW)


# ---- sessions


def test_the_first_consent_counts(store):
    store.add_annotator("ann", "token-1", NOW)
    store.consent("ann", NOW)
    store.consent("ann", LATER)
    assert store.annotator("token-1").consented_at == NOW


def test_no_trial_before_consent(store):
    store.add_annotator("ann", "token-1", NOW)
    store.start_session("s1", "ann", NOW, 1280, 720, 1.5)
    with pytest.raises(StoreError, match="not consented"):
        store.next_trial("ann", "s1", "t1", NOW, seed=0)


def test_no_trial_in_a_session_of_somebody_else(store):
    admit(store, "ann")
    admit(store, "eve")
    with pytest.raises(StoreError, match="no session"):
        store.next_trial("ann", "session-of-eve", "t1", NOW, seed=0)


def test_an_unknown_annotator_is_refused(store):
    for call in (
        lambda: store.consent("nobody", NOW),
        lambda: store.start_session("s1", "nobody", NOW),
        lambda: store.next_trial("nobody", "s1", "t1", NOW, seed=0),
    ):
        with pytest.raises(StoreError, match="annotator nobody: unknown"):
            call()


def test_the_window_is_recorded(store, path):
    store.add_annotator("ann", "token-1", NOW)
    store.start_session("s1", "ann", NOW, 1280, 720, 1.5)
    with sqlite3.connect(path) as connection:
        row = connection.execute("SELECT * FROM sessions").fetchone()
    assert row == ("s1", "ann", NOW, 1280, 720, 1.5)


# ---- trials


def test_the_open_trial_stays_the_same_until_it_is_answered(store, path):
    session = admit(store, "ann")
    first = store.next_trial("ann", session, "t1", NOW, seed=0)
    store.start_session("s2", "ann", LATER)
    assert store.next_trial("ann", "s2", "t2", LATER, seed=1) == first
    again = open_store(path)
    assert again.next_trial("ann", session, "t3", LATER, seed=2) == first
    again.close()
    store.record_vote("t1", "ann", "tie", 800, LATER)
    second = store.next_trial("ann", session, "t4", LATER, seed=3)
    assert (second.trial_id, second.position) == ("t4", 2)


def test_a_trial_says_which_public_image_lies_where(store, path):
    session = admit(store, "ann")
    with sqlite3.connect(path) as connection:
        files = {
            pair_id: {"a": a, "b": b}
            for pair_id, a, b in connection.execute("SELECT pair_id, file_a, file_b FROM pairs")
        }
    lefts = set()
    for number in range(8):
        trial = store.next_trial("ann", session, f"t{number}", NOW, seed=number)
        pair = files[trial.pair_id]
        right = "b" if trial.left == "a" else "a"
        assert (trial.left_file, trial.right_file) == (pair[trial.left], pair[right])
        lefts.add(trial.left)
        store.record_vote(trial.trial_id, "ann", "left", 800, NOW)
    assert lefts == {"a", "b"}


def test_an_annotator_comes_to_the_end(store):
    session = admit(store, "ann")
    assert store.progress("ann", NOW) == (0, 12)
    for number in range(12):
        trial = store.next_trial("ann", session, f"t{number}", NOW, seed=number)
        assert store.progress("ann", NOW) == (number, 12)
        store.record_vote(trial.trial_id, "ann", "right", 800, NOW)
        assert store.progress("ann", NOW) == (number + 1, 12)
    assert store.next_trial("ann", session, "t12", NOW, seed=12) is None
    assert store.trial("t12") is None


def test_an_open_trial_keeps_its_pair_from_others_for_half_an_hour(tmp_path):
    """One pair, one vote wanted: a second annotator stands by, a third is done until the lease
    of the others is over."""
    store = open_factory_store(
        tmp_path / "study", n_prompts=1, models=tuple(MODELS)[:2], votes_per_pair=1,
        attention_share=0, repeat_share=0,
    )  # fmt: skip

    def ask(annotator, now):
        trial = store.next_trial(annotator, sessions[annotator], f"{annotator} {now}", now, seed=0)
        return trial and trial.question_id

    sessions = {name: admit(store, name) for name in ("ann", "ben", "eve", "kim")}
    assert ask("ann", NOW) == "quality"
    assert ask("ben", "2030-01-01T10:29:59.999+00:00") == "quality"
    assert store.progress("eve", "2030-01-01T10:29:59.999+00:00") == (0, 1)
    assert ask("eve", "2030-01-01T10:29:59.999+00:00") == "alignment"
    assert ask("kim", "2030-01-01T10:30:00.000+00:00") == "quality"  # ann's lease is over
    store.record_vote(f"ann {NOW}", "ann", "left", 900, "2030-01-01T10:31:00.000+00:00")
    assert store.votes()["choice"].tolist() == ["left"]
    store.close()


# ---- votes


@pytest.fixture
def trial(store):
    return store.next_trial("ann", admit(store, "ann"), "t1", NOW, seed=0)


def test_the_first_vote_wins(store, trial):
    first = store.record_vote("t1", "ann", "left", 900, LATER)
    assert (first.choice, first.response_ms, first.created_at) == ("left", 900, LATER)
    assert store.record_vote("t1", "ann", "right", 950, LATER) == first
    assert store.vote("t1") == first
    assert store.votes()[["trial_id", "choice"]].values.tolist() == [["t1", "left"]]


def test_a_vote_that_cannot_be_is_refused_and_leaves_nothing(store, trial):
    admit(store, "eve")
    assert trial.question_id == "quality"
    for given, said in [
        (("t2", "ann", "left", 900), "not a trial of annotator ann"),
        (("t1", "eve", "left", 900), "not a trial of annotator eve"),
        (("t1", "ann", "middle", 900), 'choice "middle"; .*left, right, tie, both_bad'),
        (("t1", "ann", "left", -1), "at least 0"),
    ]:
        with pytest.raises(StoreError, match=said):
            store.record_vote(*given, LATER)
    assert store.votes().empty


def test_a_choice_must_be_offered_by_the_trial_s_own_question(store):
    session = admit(store, "ann")
    for number in range(12):
        trial = store.next_trial("ann", session, f"t{number}", NOW, seed=number)
        if trial.question_id == "alignment":
            break
        store.record_vote(trial.trial_id, "ann", "both_bad", 800, NOW)
    with pytest.raises(StoreError, match=r'"both_bad"; the question offers left, right, tie$'):
        store.record_vote(trial.trial_id, "ann", "both_bad", 800, NOW)


def test_a_correction_is_a_new_row_and_the_vote_as_it_stands(store, trial, path):
    store.record_vote("t1", "ann", "left", 900, NOW)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO votes VALUES ('t1', 2, 1, 'tie', 1500, ?)", (LATER,))
    assert store.vote("t1").choice == "tie"
    assert store.record_vote("t1", "ann", "right", 1, LATER).choice == "tie"
    assert store.votes()[["trial_id", "choice"]].values.tolist() == [["t1", "tie"]]
    assert store.annotators()["n_votes"].tolist() == [1]
    assert store.progress("ann", NOW)[0] == 1


def test_one_trial_cannot_hold_two_first_votes(store, trial, path):
    store.record_vote("t1", "ann", "left", 900, NOW)
    with (
        sqlite3.connect(path) as connection,
        pytest.raises(sqlite3.IntegrityError, match="UNIQUE"),
    ):
        connection.execute("INSERT INTO votes VALUES ('t1', 1, NULL, 'tie', 1500, ?)", (LATER,))


# ---- tables


def test_the_tables_have_the_columns_of_the_house(store):
    assert store.trials().columns.tolist() == tables.TRIALS.names
    assert store.votes().columns.tolist() == tables.VOTES.names
    session = admit(store, "ann")
    admit(store, "eve")
    trial = store.next_trial("ann", session, "t1", NOW, seed=0)
    store.record_vote("t1", "ann", "left", 900, LATER)
    store.next_trial("ann", session, "t2", LATER, seed=1)
    trials = store.trials()
    assert trials.columns.tolist() == tables.TRIALS.names
    assert trials.loc[0].to_dict() == {name: getattr(trial, name) for name in tables.TRIALS.names}
    assert store.votes().to_dict("records") == [
        {"trial_id": "t1", "choice": "left", "response_ms": 900, "created_at": LATER}
    ]
    assert store.annotators().to_dict("records") == [
        {
            "annotator_id": name,
            "simulated": False,
            "consented_at": NOW,
            "n_trials": n_trials,
            "n_votes": n_votes,
        }
        for name, n_trials, n_votes in [("ann", 2, 1), ("eve", 0, 0)]
    ]


# ---- many at once


def test_threads_that_ask_at_once_get_the_same_trial(store):
    session = admit(store, "ann")
    start = threading.Barrier(12)

    def ask(number):
        start.wait()
        return store.next_trial("ann", session, f"t{number}", NOW, seed=number)

    with ThreadPoolExecutor(12) as pool:
        trials = list(pool.map(ask, range(12)))
    assert len(set(trials)) == 1
    assert len(store.trials()) == 1


def test_threads_that_vote_at_once_store_one_vote_and_all_learn_it(store, trial):
    start = threading.Barrier(12)

    def vote(number):
        start.wait()
        return store.record_vote("t1", "ann", ["left", "right", "tie"][number % 3], number, LATER)

    with ThreadPoolExecutor(12) as pool:
        votes = set(pool.map(vote, range(12)))
    assert len(votes) == 1
    assert store.votes()["choice"].tolist() == [votes.pop().choice]


def vote_in_a_process(path, process, annotator_ids, answers):
    store = open_store(Path(path))
    for annotator_id in annotator_ids:
        number = 0
        while True:
            trial = store.next_trial(
                annotator_id,
                f"session-of-{annotator_id}",
                f"{annotator_id}-{process}-{number}",
                NOW,
                seed=number,
            )
            if trial is None:
                break
            choice = "left" if process else "right"
            vote = store.record_vote(trial.trial_id, annotator_id, choice, process, LATER)
            answers.put((trial.trial_id, vote.choice))
            number += 1
    store.close()


def test_processes_that_serve_the_same_annotators_agree(tmp_path):
    """Two processes drive both annotators at once: each trial once, each vote once."""
    store = open_factory_store(tmp_path / "study", n_prompts=8, votes_per_pair=2)
    path = str(tmp_path / "study" / "votes.sqlite")
    for name in ("ann", "ben"):
        admit(store, name)
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    processes = [
        spawn.Process(target=vote_in_a_process, args=(path, number, ["ann", "ben"], answers))
        for number in (0, 1)
    ]
    for process in processes:
        process.start()
    heard = []
    while any(process.is_alive() for process in processes) or not answers.empty():
        try:
            heard.append(answers.get(timeout=0.2))
        except multiprocessing.queues.Empty:
            continue
    assert [process.exitcode for process in processes] == [0, 0]
    trials, votes = store.trials(), store.votes()
    assert len(votes) == len(trials) == 24
    assert not trials.duplicated(["annotator_id", "position"]).any()
    mains = trials[trials["kind"] == "main"]
    assert not mains.duplicated(["annotator_id", "question_id", "pair_id"]).any()
    stored = dict(zip(votes["trial_id"], votes["choice"], strict=True))
    assert all(stored[trial_id] == choice for trial_id, choice in heard)
    assert {trial_id for trial_id, _ in heard} == set(stored)


# ---- opening, replacing, failing


def test_a_missing_a_foreign_and_another_schema_s_file_are_refused(tmp_path, store, path):
    with pytest.raises(StoreError, match="no vote database"):
        open_store(tmp_path / "none.sqlite")
    text = tmp_path / "text.sqlite"
    text.write_text("hello " * 1000)
    with pytest.raises(StoreError, match="not a vote database"):
        open_store(text)
    with sqlite3.connect(tmp_path / "empty.sqlite") as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(StoreError, match="not a vote database"):
        open_store(tmp_path / "empty.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(StoreError, match="schema 99, this evalkit reads 1"):
        open_store(path)


def test_a_locked_database_is_not_taken_for_a_foreign_one(store, path, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.1)
    store.close()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("PRAGMA locking_mode=EXCLUSIVE")
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailableError, match=r"does not answer now \(database is locked\)"):
        open_store(path)
    blocker.close()
    open_store(path).close()


def test_a_store_is_never_overwritten(store, path, tmp_path):
    folder = make_study(tmp_path / "other")
    with pytest.raises(StoreError, match="exists already"):
        create_store(path, folder.study, tables.BLINDED_PAIRS.empty())


def test_commits_are_synchronous_and_foreign_keys_hold(store):
    with store._engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_plan_is_replaced_only_before_the_first_vote(store, trial, tmp_path):
    other = make_study(tmp_path / "other", n_prompts=3, trials_per_annotator=4)
    other_store = open_collection(other, NOW)
    with other_store._reading() as connection:
        pairs = other_store._plan(connection).pairs.values()
        blinded = tables.BLINDED_PAIRS.empty().reindex(range(len(pairs)))
        for number, row in enumerate(pairs):
            blinded.loc[number] = [value or "" for value in row]
    store.replace_plan(other.study, blinded)
    assert store.study().study_sha256 == other.study.sha256
    assert store.trials().empty
    assert store.annotator("token-of-ann").consented_at is None
    store.consent("ann", LATER)
    store.start_session("s2", "ann", LATER)
    assert store.next_trial("ann", "s2", "t2", LATER, seed=0).trial_id == "t2"
    assert store.progress("ann", NOW) == (0, 4)
    store.record_vote("t2", "ann", "left", 900, LATER)
    with pytest.raises(StoreError, match="holds votes"):
        store.replace_plan(other.study, blinded)
    assert len(store.votes()) == 1


def test_a_database_that_does_not_answer_says_so_and_recovers(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.1)
    store = open_factory_store(tmp_path / "study")
    session = admit(store, "ann")
    store.next_trial("ann", session, "t1", NOW, seed=0)
    blocker = sqlite3.connect(tmp_path / "study" / "votes.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        store.record_vote("t1", "ann", "left", 900, NOW)
    blocker.execute("ROLLBACK")
    blocker.close()
    assert store.record_vote("t1", "ann", "left", 900, NOW).choice == "left"
    store.close()
