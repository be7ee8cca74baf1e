"""The app over real HTTP: the stages of a session, crashes, and a database that is away."""

import http.client
import json
import random
import signal
import threading
import time

import pytest
from streamlit import config as streamlit_config

from evalkit.collection import invite, open_collection
from evalkit.store import Annotator, open_store
from evalkit.study_sections import Entry
from study_app.settings import SETTINGS
from study_app.state import stage
from tests.study_factory import NOW, make_study
from tests.study_server import WINDOW, StudyServer, serve_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A running server, its folder, and links into it."""
    yield from serve_study(
        tmp_path_factory.mktemp("app"),
        n_links=30,
        n_prompts=8,
        votes_per_pair=40,
        trials_per_annotator=12,
        practice_trials=1,
    )


@pytest.fixture
def store(study):
    store = open_store(study[1].store_address)
    yield store
    store.close()


# ---- stages


def annotator(**values):
    empty = dict.fromkeys(Annotator.__dataclass_fields__)
    return Annotator(**{**empty, "annotator_id": "ann", "consent_version": "v1", **values})


def test_the_stage_follows_from_the_annotator_s_row():
    agreed = {"consented_at": NOW, "consent_version": "v1"}
    ready = {**agreed, "instructed_at": NOW}
    assert stage(annotator(), "v1") == "consent"
    assert stage(annotator(**agreed), "v1") == "instructions"
    assert stage(annotator(**ready), "v1") == "vote"
    assert stage(annotator(**ready), "v2") == "consent"  # the text is another one by now
    assert stage(annotator(**ready, finished_at=NOW), "v2") == "done"
    assert stage(annotator(**ready, finished_at=NOW, blocked_at=NOW), "v1") == "blocked"
    assert stage(annotator(**ready, withdrawn_at=NOW, blocked_at=NOW), "v1") == "withdrawn"


def test_a_session_goes_from_consent_over_instructions_to_trials(visitor, store):
    begun = visitor.start().json
    assert set(begun) == {"session_id", "settings", "stage", "consent"}
    assert "computer-made images" in begun["consent"]["text"]
    assert begun["settings"] == {
        "viewing_size": 64,
        "min_viewing_ms": 0,
        "keys": {
            "left": "ArrowLeft",
            "right": "ArrowRight",
            "tie": "ArrowDown",
            "both_bad": "b",
            "undo": "Backspace",
            "zoom": "z",
            "flip": "f",
            "reason": "r",
        },
        "break_minutes": 10,
        "reasons": False,
        "outbox": begun["settings"]["outbox"],
    }
    assert len(bytes.fromhex(begun["settings"]["outbox"])) == 8
    sitting = {"session_id": visitor.session_id}
    assert visitor.trials().json["stage"] == "consent"
    stale = visitor.post("consent", {**sitting, "version": "another"}).json
    assert stale == {"stage": "consent", "consent": begun["consent"]}
    version = begun["consent"]["version"]
    read = visitor.post("consent", {**sitting, "version": version}).json
    assert read["stage"] == "instructions"
    assert store.logged_in(visitor.cookie).consent_version == version
    assert "side by side" in read["instructions"]["text"]
    state = visitor.post("instructed", sitting).json
    assert state["stage"] == "vote"
    assert len(state["trials"]) == 3
    assert state["trials"][0]["practice"] is True
    assert state["progress"] == {
        "part": 1,
        "parts": 2,
        "block": 1,
        "blocks": 1,
        "done": 0,
        "total": 12,
        "block_done": 0,
        "block_total": 6,
    }


def test_the_window_and_the_screen_are_recorded(visitor, store):
    visitor.start()
    rows = store.sessions().set_index("session_id").loc[visitor.session_id]
    assert rows[list(WINDOW)].to_dict() == WINDOW


def test_the_trials_are_the_same_after_a_reload_on_another_tab_and_after_a_restart(server, study):
    link = next(study[2])
    visitor = server.visitor(link)
    trials = visitor.begin()["trials"]
    assert visitor.trials().json["trials"] == trials
    assert visitor.start().json["trials"] == trials
    assert server.visitor(link).start().json["trials"] == trials
    server.kill()
    server.start()
    assert visitor.trials().json["trials"] == trials


def test_practice_gives_feedback_and_counts_nowhere(visitor, store):
    state = visitor.begin()
    trial_id = state["trials"][0]["trial_id"]
    expected = store.expected_side(trial_id)
    wrong = {"left": "right", "right": "left"}[expected]
    answered = visitor.vote_kept(trial_id, wrong)
    assert answered["feedback"] == {"right": False, "expected": expected, "foil": "pixelated"}
    assert answered["progress"]["done"] == 0
    corrected = visitor.vote_kept(trial_id, expected, revision=2)
    assert corrected["feedback"]["right"] is True
    state = visitor.vote_on(corrected)
    assert "feedback" not in state
    assert state["progress"]["done"] == 1


def test_at_the_end_all_is_done_and_stays_done(visitor, store):
    state = visitor.begin()
    parts = []
    while state["stage"] == "vote":
        first = state["trials"][0]
        assert first["part"] == state["progress"]["part"]
        assert (first["block"], first["blocks"]) == (1, 1)
        parts.append(first["part"])
        state = visitor.vote_on(state)
    assert parts == [1] * 7 + [2] * 7  # one of each is practice
    assert (state["stage"], state["completion"]) == ("done", None)
    assert store.logged_in(visitor.cookie).finished_at is not None
    assert visitor.start().json["stage"] == "done"


def test_nothing_free_is_waited_for_and_nothing_ever_is_full(tmp_path):
    """Two pairs, one vote for each: two annotators hold both for the first question, two for the
    second, the fifth waits. When all are done there was nothing for the fifth, and no code is."""
    folder = make_study(
        tmp_path / "study", n_prompts=2, models=("secret-alpha", "secret-beta"),
        trials_per_annotator=4, votes_per_pair=1, attention_share=0, repeat_share=0,
    )  # fmt: skip
    links = invite(folder, 5, NOW, "http://localhost")
    store = open_store(folder.store_address)
    store.set_entry(Entry(completion_code="C0DE77"))
    server = StudyServer(folder.store_address, folder.blinded)
    try:
        voters = [server.visitor(link) for link in links]
        states = [voter.begin() for voter in voters]
        assert [state["stage"] for state in states] == ["vote"] * 4 + ["wait"]
        assert states[4] == {"stage": "wait"}
        assert voters[4].trials().json == {"stage": "wait"}
        for number in range(4):
            while states[number]["stage"] == "vote":
                states[number] = voters[number].vote_on(states[number])
        assert [state["stage"] for state in states[:2]] == ["wait", "wait"]  # for the other two
        last = [voter.trials().json for voter in voters[:4]]
        assert [state["completion"]["code"] for state in last] == ["C0DE77"] * 4
        assert voters[4].trials().json == {"stage": "full"}
        assert "C0DE77" not in str(voters[4].start().json)
    finally:
        server.kill()
        store.close()


def test_blocks_of_trials_loaded_ahead_are_counted_on(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=8, trials_per_annotator=20)
    text = (folder.root / "study.toml").read_text()
    text = text.replace("[design]", "[design]\nblock_length = 5")
    (folder.root / "study.toml").write_text(text)
    folder = type(folder)(folder.root)
    [link] = invite(folder, 1, NOW, "http://localhost")
    server = StudyServer(folder.store_address, folder.blinded)
    try:
        visitor = server.visitor(link)
        state = visitor.begin()
        blocks = []
        while state["stage"] == "vote":
            blocks.append([(t["part"], t["block"], t["blocks"]) for t in state["trials"]])
            state = visitor.vote_on(state)
    finally:
        server.kill()
    first = [(part, block, 2) for part in (1, 2) for block in (1, 2) for _ in range(5)]
    assert [ahead[0] for ahead in blocks] == first
    for place, ahead in enumerate(blocks):
        assert ahead == first[place : place + len(ahead)]
    assert sum(map(len, blocks)) > 50  # mostly three at a time


def test_withdrawing_deletes_the_votes_and_the_login(server, study, store):
    link = next(study[2])
    visitor = server.visitor(link)
    state = visitor.skip_practice(visitor.begin())
    voted = [state["trials"][0]["trial_id"]]
    visitor.vote_on(state)
    answer = visitor.post("withdraw", {})
    assert answer.json == {"stage": "withdrawn", "deleted": 2}  # practice too
    assert 'evalkit=""' in answer.headers["set-cookie"]
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert store.vote(voted[0]) is None
    assert visitor.start().status == 403
    assert server.visitor(link).start().json["stage"] == "withdrawn"


def test_a_pause_and_a_block_stop_trials_and_end(server, visitor, study, store):
    state = visitor.skip_practice(visitor.begin())
    annotator_id = store.logged_in(visitor.cookie).annotator_id
    fresh = server.visitor(next(study[2]))
    store.pause("the images are looked at again", NOW)
    try:
        # A vote on a trial that was given before the pause is kept.
        answer = visitor.vote_on(state)
        assert answer["stage"] == "paused"
        assert answer["vote"]["trial_id"] == state["trials"][0]["trial_id"]
        assert "looked at" not in json.dumps(answer)
        assert visitor.trials().json == {"stage": "paused"}
        assert fresh.start().json["stage"] == "paused"
    finally:
        store.resume(NOW)
    assert visitor.trials().json["trials"][0] == state["trials"][1]
    store.block(annotator_id, "too fast", NOW)
    assert visitor.trials().json == {"stage": "blocked"}
    assert visitor.start().json["stage"] == "blocked"
    store.unblock(annotator_id, NOW)
    assert visitor.trials().json["stage"] == "vote"


def test_notes_and_reasons_are_kept(visitor, store):
    state = visitor.skip_practice(visitor.begin())
    note = {
        "session_id": visitor.session_id,
        "event": "narrow",
        "viewport_width": 700,
        "viewport_height": 600,
        "pixel_ratio": 1.5,
    }
    assert visitor.post("note", note).json == {}
    log = store.log()
    mine = log[log["annotator_id"] == store.logged_in(visitor.cookie).annotator_id]
    row = mine[mine["event"] == "narrow"].iloc[0]
    assert row["actor"] == "annotator"
    kept = json.loads(row["detail"])
    assert (kept["viewport_width"], kept["pixel_ratio"]) == (700, 1.5)
    trial_id = state["trials"][0]["trial_id"]
    visitor.vote_kept(trial_id, "tie", reason="Böth are fine")
    assert store.vote(trial_id).reason == "Böth are fine"


def test_every_kept_vote_was_received_first(visitor, study):
    state = visitor.begin()
    trial_id = state["trials"][0]["trial_id"]
    visitor.vote_kept(trial_id, "left")
    visitor.vote_kept(trial_id, "left")  # sent again: it is kept already
    lines = [
        json.loads(line)
        for file in study[1].received.iterdir()
        for line in file.read_text().splitlines()
    ]
    mine = [line for line in lines if line["trial_id"] == trial_id]
    assert [set(line) for line in mine] == [{"trial_id", "revision", "at"}]
    assert mine[0]["revision"] == 1


# ---- crashes and ends


def test_kill_9_loses_no_acknowledged_vote_and_doubles_none(tmp_path):
    """Six annotators vote as the page does, resending until acknowledged; three crashes."""
    folder = make_study(tmp_path / "study", n_prompts=12, votes_per_pair=9, trials_per_annotator=60)
    links = invite(folder, 6, NOW, "http://localhost")
    server = StudyServer(folder.store_address, folder.blinded)
    visitors = [server.visitor(link) for link in links]
    acknowledged, lock, stop = {}, threading.Lock(), threading.Event()

    def until_answered(send):
        while True:
            try:
                answer = send()
            except (OSError, http.client.HTTPException):  # away, or killed in the midst
                answer = None
            if answer is not None and answer.status < 500 and answer.status != 429:
                return answer.json
            time.sleep(0.05)

    def annotate(visitor, state, seed):
        rng = random.Random(seed)
        while state["stage"] == "vote" and not stop.is_set():
            trial = state["trials"][0]
            sent, choice = trial["trial_id"], rng.choice(trial["choices"])
            state = until_answered(lambda: visitor.vote(sent, choice))  # noqa: B023
            assert state["vote"]["trial_id"] == sent
            with lock:
                acknowledged[sent] = state["vote"]["choice"]

    threads = [
        threading.Thread(target=annotate, args=(visitor, visitor.begin(), seed))
        for seed, visitor in enumerate(visitors)
    ]
    for thread in threads:
        thread.start()
    rng = random.Random(5)
    for crash in range(3):
        while len(acknowledged) < 30 * (crash + 1):
            time.sleep(0.01)
        time.sleep(rng.random() * 0.1)
        server.kill()
        server.start()
    stop.set()
    for thread in threads:
        thread.join()
    server.kill()
    store = open_store(folder.store_address)
    votes = store.votes()
    stored = dict(zip(votes["trial_id"], votes["choice"], strict=True))
    assert len(acknowledged) >= 90
    assert acknowledged == stored
    assert not store.trials().duplicated(["annotator_id", "position"]).any()
    store.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_worker_in_good_order(tmp_path, number):
    folder = make_study(tmp_path / "study")
    open_collection(folder, NOW).close()
    server = StudyServer(folder.store_address, folder.blinded)
    assert server.request("GET", "/_stcore/health").status == 200
    assert server.interrupt(number) == (0, "")


def test_every_setting_is_known_to_this_streamlit():
    known = streamlit_config._config_options_template
    assert set(SETTINGS) <= set(known)
    assert known["runner.postScriptGC"].default_val is True
    assert SETTINGS["runner.postScriptGC"] is False
