"""The app over real HTTP: who is let in, what reaches the page, and that no vote is lost."""

import io
import random
import shutil
import threading
import time
import tomllib

import numpy as np
import pytest
from PIL import Image
from streamlit import config as streamlit_config

from evalkit.collection import invite, open_collection
from evalkit.errors import EvalkitError, StoreError
from evalkit.store import open_store
from study_app.served import Served
from study_app.server import SETTINGS, serve
from study_app.views import page_view, trial_view
from tests.study_factory import MODELS, NOW, admit, make_study
from tests.study_server import ROOT, WINDOW, StudyServer

TEXTS = tomllib.loads((ROOT / "evalkit" / "texts" / "en.toml").read_text("utf-8"))


def only_what_the_app_may_read(folder, destination):
    """The vote database and the public images, alone in another folder."""
    destination.mkdir()
    for suffix in ("", "-wal", "-shm"):
        file = folder.root / f"votes.sqlite{suffix}"
        if file.exists():
            shutil.copy(file, destination)
    shutil.copytree(folder.blinded, destination / "blinded")
    return destination / "votes.sqlite", destination / "blinded"


def tokens(folder, n):
    return [link.partition("token=")[2] for link in invite(folder, n, NOW, "http://localhost")]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A running server over nothing but database and public images, and tokens for it."""
    root = tmp_path_factory.mktemp("app")
    folder = make_study(root / "study", n_prompts=8, votes_per_pair=9, trials_per_annotator=40)
    given = tokens(folder, 20)
    server = StudyServer(*only_what_the_app_may_read(folder, root / "served"))
    yield server, iter(given)
    server.kill()


@pytest.fixture
def server(study):
    return study[0]


@pytest.fixture
def token(study):
    return next(study[1])


@pytest.fixture
def store(server):
    store = open_store(server.store_path)
    yield store
    store.close()


# ---- who is let in


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/session"), ("POST", "/vote"), ("GET", "/image/any/left")],
)
@pytest.mark.parametrize("wrong", [None, "", "unknown", "' OR 1=1 --"])
def test_without_a_known_token_every_route_answers_403(server, method, path, wrong):
    body = {"consent": True, **WINDOW} if method == "POST" else None
    answer = server.request(method, path, wrong, body)
    assert answer.status == 403
    assert answer.json == {"error": "unknown token"}


def test_another_annotator_s_trial_is_closed(server, study, token, store):
    mine = server.begin(token).json
    other_token = next(study[1])
    theirs = server.begin(other_token).json["trial"]["trial_id"]
    assert server.vote(token, mine["session_id"], theirs, "left").status == 403
    assert server.request("GET", f"/image/{theirs}/left", token).status == 403
    assert server.request("GET", f"/image/{theirs}/left", other_token).status == 200
    assert store.vote(theirs) is None


def test_consent_comes_first(server, token, store):
    assert server.begin(token, consent=False).status == 409
    assert store.annotator(token).consented_at is None
    assert server.begin(token, consent=True).status == 200
    assert store.annotator(token).consented_at is not None
    assert server.begin(token, consent=False).status == 200


# ---- what reaches the page


def test_a_session_begins_with_a_trial_and_records_the_window(server, token, store):
    answer = server.begin(token)
    assert set(answer.json) == {"session_id", "trial", "progress"}
    assert answer.json["progress"] == {"done": 0, "total": 40}
    assert answer.headers["cache-control"] == "no-store"
    trial = answer.json["trial"]
    stored = store.trial(trial["trial_id"])
    assert stored.session_id == answer.json["session_id"]
    assert store.next_trial(stored.annotator_id, stored.session_id, "t", NOW, seed=0) == stored


def test_the_prompt_is_there_only_where_the_question_shows_it_and_the_kind_never(server, token):
    answer = server.begin(token)
    session, seen = answer.json["session_id"], []
    while (trial := answer.json["trial"]) is not None:
        seen.append(trial)
        answer = server.vote(token, session, trial["trial_id"], "left")
        assert answer.json["vote"] == {"trial_id": trial["trial_id"], "choice": "left"}
    always = {"trial_id", "question_id", "question", "choices", "part", "parts"}
    assert [set(trial) for trial in seen] == [always] * 20 + [always | {"prompt"}] * 20
    assert {trial["question_id"] for trial in seen[:20]} == {"quality"}
    assert seen[0]["choices"] == ["left", "right", "tie", "both_bad"]
    assert seen[-1]["choices"] == ["left", "right", "tie"]
    assert answer.json["progress"] == {"done": 40, "total": 40}


def test_both_images_of_a_trial_are_alike_in_all_but_their_pixels(server, token):
    answer = server.begin(token)
    session = answer.json["session_id"]
    for _ in range(10):
        trial = answer.json["trial"]["trial_id"]
        left, right = (
            server.request("GET", f"/image/{trial}/{side}", token) for side in ("left", "right")
        )
        assert left.status == right.status == 200
        assert len(left.body) == len(right.body)
        left.headers.pop("date")
        right.headers.pop("date")
        assert left.headers == right.headers
        assert left.headers["cache-control"] == "no-store"
        assert left.headers["content-type"] == "image/png"
        pictures = [np.asarray(Image.open(io.BytesIO(image.body))) for image in (left, right)]
        assert pictures[0].shape == pictures[1].shape == (64, 64, 3)
        assert (pictures[0] != pictures[1]).any()
        answer = server.vote(token, session, trial, "tie")


def test_images_are_those_of_the_trial_s_sides(server, token, store):
    trial = store.trial(server.begin(token).json["trial"]["trial_id"])
    for side, name in (("left", trial.left_file), ("right", trial.right_file)):
        body = server.request("GET", f"/image/{trial.trial_id}/{side}", token).body
        assert body.rstrip(b"\0") == (server.blinded / name).read_bytes().rstrip(b"\0")
    assert server.request("GET", f"/image/{trial.trial_id}/middle", token).status == 404


def test_page_view_of_a_stranger_holds_no_study(store, server):
    served = Served(store, server.blinded, TEXTS)
    for wrong in ("", "unknown"):
        assert page_view(served, wrong) == {"screen": "unknown", "texts": TEXTS}


def test_page_view_of_an_annotator(store, server, token):
    view = page_view(Served(store, server.blinded, TEXTS), token)
    assert view["screen"] == "session"
    assert view["consented"] is False
    assert "computer-made images" in view["consent"]
    assert (view["viewing_size"], view["min_viewing_ms"]) == (64, 0)
    assert token not in view["outbox"]


def test_trial_view_at_the_end(tmp_path):
    folder = make_study(tmp_path / "study", trials_per_annotator=2)
    store = open_collection(folder, NOW)
    admit(store, "ann")
    view = trial_view(Served(store, folder.blinded, TEXTS), "ann", None, NOW)
    assert view == {"trial": None, "progress": {"done": 0, "total": 2}}


def test_every_response_keeps_the_link_private(server, token):
    for answer in (server.request("GET", "/"), server.begin(token), server.begin("unknown")):
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert server.request("GET", "/_stcore/metrics").status == 404
    assert server.request("GET", "/_stcore/metrics/").status == 404


# ---- votes


def test_a_vote_sent_twice_counts_once_and_the_stored_one_is_acknowledged(server, token, store):
    begun = server.begin(token).json
    trial = begun["trial"]["trial_id"]
    first = server.vote(token, begun["session_id"], trial, "left")
    second = server.vote(token, begun["session_id"], trial, "right")
    assert (first.status, second.status) == (200, 200)
    assert second.json["vote"] == {"trial_id": trial, "choice": "left"}
    assert second.json["trial"] == first.json["trial"]
    assert store.vote(trial).choice == "left"


def test_the_open_trial_is_the_same_after_a_reload(server, token):
    assert server.begin(token).json["trial"] == server.begin(token).json["trial"]


@pytest.mark.parametrize(
    "change",
    [
        {"choice": "middle"},
        {"response_ms": -1},
        {"response_ms": 1.5},
        {"response_ms": "900"},
        {"response_ms": 10**9},
        {"extra": 1},
        {"trial_id": None},
    ],
)
def test_a_malformed_vote_is_refused(server, study, change, store, malformed_session):
    token, begun = malformed_session
    body = {
        "session_id": begun["session_id"],
        "trial_id": begun["trial"]["trial_id"],
        "choice": "left",
        "response_ms": 900,
        **change,
    }
    assert server.request("POST", "/vote", token, body).status == 400
    assert store.vote(begun["trial"]["trial_id"]) is None


@pytest.fixture(scope="module")
def malformed_session(study):
    token = next(study[1])
    return token, study[0].begin(token).json


def test_bodies_that_are_no_json_or_too_long_are_refused(server, malformed_session):
    token, _ = malformed_session
    for body, status in [(b"", 400), (b"[1]", 400), (b"\xff", 400), (b"{" + b" " * 5000, 413)]:
        assert server.request("POST", "/vote", token, body).status == status


def test_a_choice_the_question_does_not_offer_is_refused(tmp_path):
    folder = make_study(tmp_path / "study", trials_per_annotator=2)
    text = (folder.root / "study.toml").read_text().replace("both_bad = true", "both_bad = false")
    (folder.root / "study.toml").write_text(text)
    folder = type(folder)(folder.root)
    (token,) = tokens(folder, 1)
    server = StudyServer(folder.store_file, folder.blinded)
    try:
        begun = server.begin(token).json
        trial = begun["trial"]["trial_id"]
        assert server.vote(token, begun["session_id"], trial, "both_bad").status == 409
        assert open_store(folder.store_file).votes().empty
    finally:
        server.kill()


def test_a_vote_before_the_minimum_viewing_time_is_refused_and_taken_later(tmp_path):
    folder = make_study(tmp_path / "study", min_viewing_ms=1500)
    (token,) = tokens(folder, 1)
    server = StudyServer(folder.store_file, folder.blinded)
    try:
        begun = server.begin(token).json
        trial = begun["trial"]["trial_id"]
        assert server.vote(token, begun["session_id"], trial, "left").status == 425
        assert open_store(folder.store_file).votes().empty
        time.sleep(1.6)
        assert server.vote(token, begun["session_id"], trial, "left").status == 200
        assert server.vote(token, begun["session_id"], trial, "right").status == 200
        assert open_store(folder.store_file).votes()["choice"].tolist() == ["left"]
    finally:
        server.kill()


# ---- crashes


def test_kill_9_loses_no_acknowledged_vote_and_doubles_none(tmp_path):
    """Six annotators vote as the page does, resending until acknowledged; three crashes."""
    folder = make_study(tmp_path / "study", n_prompts=12, votes_per_pair=9, trials_per_annotator=60)
    annotators = tokens(folder, 6)
    server = StudyServer(folder.store_file, folder.blinded)
    acknowledged, lock, stop = {}, threading.Lock(), threading.Event()

    def until_answered(send):
        while True:
            try:
                answer = send()
            except OSError:  # the server is away
                answer = None
            if answer is not None and answer.status < 500:
                return answer
            time.sleep(0.05)

    def annotate(token, seed):
        rng = random.Random(seed)
        answer = until_answered(lambda: server.begin(token)).json
        session, trial = answer["session_id"], answer["trial"]
        while trial is not None and not stop.is_set():
            choice = rng.choice(trial["choices"])
            sent = trial["trial_id"]
            answer = until_answered(lambda: server.vote(token, session, sent, choice))  # noqa: B023
            assert answer.json["vote"]["trial_id"] == sent
            with lock:
                acknowledged[sent] = answer.json["vote"]["choice"]
            trial = answer.json["trial"]

    threads = [
        threading.Thread(target=annotate, args=(token, seed))
        for seed, token in enumerate(annotators)
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
    store = open_store(folder.store_file)
    votes = store.votes()
    stored = dict(zip(votes["trial_id"], votes["choice"], strict=True))
    assert len(acknowledged) >= 90
    assert acknowledged == stored
    trials = store.trials()
    assert not trials.duplicated(["annotator_id", "position"]).any()


# ---- the server


def test_ctrl_c_stops_the_server_in_good_order(tmp_path):
    folder = make_study(tmp_path / "study")
    open_collection(folder, NOW)
    server = StudyServer(folder.store_file, folder.blinded)
    assert server.request("GET", "/_stcore/health").status == 200
    code, output = server.interrupt()
    assert (code, output) == (0, "")


def test_a_missing_database_and_a_taken_port_are_said_in_one_sentence(tmp_path, server):
    with pytest.raises(StoreError, match="no vote database"):
        serve(tmp_path / "votes.sqlite", tmp_path)
    with pytest.raises(EvalkitError, match=f"127.0.0.1:{server.port} cannot be listened on"):
        serve(server.store_path, server.blinded, port=server.port)


def test_every_setting_is_known_to_this_streamlit():
    known = streamlit_config._config_options_template
    assert set(SETTINGS) <= set(known)
    assert known["runner.postScriptGC"].default_val is True
    assert SETTINGS["runner.postScriptGC"] is False


def test_nothing_that_was_served_names_a_model(server, token):
    answer = server.begin(token)
    content = answer.body + str(answer.headers).encode()
    for side in ("left", "right"):
        image = server.request("GET", f"/image/{answer.json['trial']['trial_id']}/{side}", token)
        content += image.body + str(image.headers).encode()
    for word in (*MODELS, "sdxl", "secret"):
        assert word.encode() not in content
