"""Attacks over real HTTP: forged logins and votes, others' trials, odd bodies, floods."""

import itertools
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from evalkit.store import open_store
from study_app.routes import routes
from tests.study_factory import MODELS
from tests.study_server import WINDOW, serve_study

MIN_VIEWING_MS = 120


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A running server, its study folder, and links into it."""
    yield from serve_study(
        tmp_path_factory.mktemp("security"),
        n_links=120,
        n_prompts=8,
        votes_per_pair=40,
        trials_per_annotator=24,
        practice_trials=1,
        min_viewing_ms=MIN_VIEWING_MS,
    )


@pytest.fixture
def store(study):
    store = open_store(study[1].store_address)
    yield store
    store.close()


def vote_body(visitor, **change):
    usual = {
        "session_id": visitor.session_id,
        "trial_id": visitor.state["trials"][0]["trial_id"],
        "choice": "left",
        "response_ms": 900,
    }
    return {**usual, **change}


# ---- who asks


BODIES = {
    "/study/session": WINDOW,
    "/study/consent": {"session_id": "s", "version": "v"},
    "/study/instructed": {"session_id": "s"},
    "/study/trials": {"session_id": "s"},
    "/study/vote": {"session_id": "s", "trial_id": "t", "choice": "left", "response_ms": 900},
    "/study/withdraw": {},
    "/study/note": {
        "session_id": "s",
        "event": "narrow",
        "viewport_width": 900,
        "viewport_height": 700,
        "pixel_ratio": 1.0,
    },
    "/study/image/{trial_id}/{side}": None,
    "/study/example/{question_id}/{side}": None,
}
ROUTES = [route.path for route in routes() if route.path != "/study/{path:path}"]


def test_every_route_is_tried_below():
    assert set(ROUTES) == set(BODIES)


@pytest.mark.parametrize("cookie", [None, "", "x", "A" * 22, "' OR 1=1 --", "A" * 6000])
@pytest.mark.parametrize("path", ROUTES)
def test_without_a_known_cookie_every_route_answers_403(server, path, cookie):
    body = BODIES[path]
    address = re.sub(r"\{\w+\}", "left", path)
    answer = server.request("GET" if body is None else "POST", address, cookie, body)
    assert answer.status == 403
    assert set(answer.json) == {"error"}


def test_another_annotator_s_trial_is_closed(server, study, voting, store):
    other = server.visitor(next(study[2]))
    other.state = other.begin()
    theirs = other.state["trials"][0]["trial_id"]
    assert voting.vote(theirs, "left").status == 403
    assert voting.image(theirs, "left").status == 403
    assert other.image(theirs, "left").status == 200
    assert store.vote(theirs) is None
    assert other.vote(theirs, "left", session_id=voting.session_id).status in (409, 425)
    assert voting.post("trials", {"session_id": other.session_id}).status == 409


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Evalkit": ""},
        {"X-Evalkit": "0"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_another_site_s_page_can_send_is_refused(server, voting, headers, store):
    body = vote_body(voting)
    for path, content in BODIES.items():
        if content is not None:
            sent = body if path == "/study/vote" else content
            answer = server.request("POST", path, voting.cookie, sent, headers)
            assert answer.status == 403, path
    assert store.vote(body["trial_id"]) is None
    assert voting.trials().status == 200  # nor has it withdrawn anybody


def test_our_own_page_s_requests_pass(server, voting):
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    body = {"session_id": voting.session_id}
    assert server.request("POST", "/study/trials", voting.cookie, body, own).status == 200
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert server.request("POST", "/study/trials", voting.cookie, body, kind).status == 200


# ---- bodies


@pytest.mark.parametrize(
    "change",
    [
        {"choice": "middle"},
        {"choice": None},
        {"response_ms": -1},
        {"response_ms": 1.5},
        {"response_ms": "900"},
        {"response_ms": 10**9},
        {"response_ms": True},
        {"revision": 0},
        {"revision": 101},
        {"revision": "1"},
        {"reason": "x" * 501},
        {"reason": None},
        {"reason": "a\0b"},
        {"extra": 1},
        {"kind": "main"},
        {"trial_id": None},
        {"trial_id": ""},
        {"trial_id": "x" * 65},
        {"trial_id": "../pairs.csv"},
        {"trial_id": "' OR 1=1 --"},
        {"session_id": ["s"]},
    ],
)
def test_a_malformed_vote_is_refused(malformed, change, store):
    assert malformed.post("vote", vote_body(malformed, **change)).status in (400, 429)
    assert store.vote(malformed.state["trials"][0]["trial_id"]) is None


@pytest.fixture(scope="module")
def malformed(study):
    visitor = study[0].visitor(next(study[2]))
    visitor.state = visitor.begin()
    return visitor


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[1]", 400),
        (b"\xff\xfe", 400),
        (b'{"session_id": NaN}', 400),
        (b'{"a":' * 800, 400),
        (b"{" + b" " * 9000, 413),
        (b"x" * 3_000_000, 413),
    ],
)
def test_bodies_that_are_no_json_or_too_long_are_refused(server, study, body, status):
    visitor = server.visitor(next(study[2]))
    try:
        assert visitor.post("vote", body).status == status
    except (BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
        assert status == 413


@pytest.mark.parametrize(
    "path",
    [
        "/study/image/..%2f..%2fpairs.csv/left",
        "/study/image/../../pairs.csv",
        "/study/image/%2e%2e/left",
        "/study/image/x/..%2f..%2f..%2fpairs.csv",
        "/study/example/..%2f..%2flock.json/left",
        "/study/example/quality/..",
        "/static/../../../pairs.csv",
        "/static/..%2f..%2f..%2f..%2fetc/passwd",
        "/static/%2e%2e/%2e%2e/index.html",
        "//etc/passwd",
    ],
)
def test_no_path_leads_out(server, visitor, path):
    answer = server.request("GET", path, visitor.cookie)
    assert answer.status in (400, 403, 404)
    for secret in (*MODELS, "root:"):
        assert secret.encode() not in answer.body


# ---- votes


def test_a_vote_that_is_sent_again_counts_once(voting, store):
    body = vote_body(voting)
    first = voting.vote_kept(body["trial_id"], "left")
    again = voting.post("vote", {**body, "choice": "right"}).json
    assert first["vote"] == again["vote"]
    assert again["vote"] == {"trial_id": body["trial_id"], "choice": "left", "revision": 1}
    assert store.vote(body["trial_id"]).choice == "left"


def test_a_correction_is_the_next_revision_of_the_last_vote_only(voting, store):
    first = voting.state["trials"][0]["trial_id"]
    assert voting.vote(first, "left", revision=2).status == 409  # nothing to correct yet
    state = voting.vote_kept(first, "left")
    assert voting.vote(first, "right", revision=3).status == 409
    corrected = voting.vote(first, "right", revision=2)
    assert corrected.json["vote"] == {"trial_id": first, "choice": "right", "revision": 2}
    assert corrected.json["trials"] == state["trials"]
    assert voting.vote(first, "left", revision=2).json["vote"]["choice"] == "right"  # a replay
    second = state["trials"][0]["trial_id"]
    voting.vote_kept(second, "right")
    assert voting.vote(first, "left", revision=3).status == 409
    assert (store.vote(first).choice, store.vote(second).choice) == ("right", "right")


def test_a_choice_that_the_question_does_not_offer_is_refused(study, server, store):
    visitor = server.visitor(next(study[2]))
    state = visitor.begin()
    while "both_bad" in state["trials"][0]["choices"]:  # only the first question offers it
        state = visitor.vote_on(state)
    trial_id = state["trials"][0]["trial_id"]
    time.sleep(2 * MIN_VIEWING_MS / 1000)
    assert visitor.vote(trial_id, "both_bad").status == 409
    assert store.vote(trial_id) is None


def test_a_vote_sooner_than_one_can_look_is_refused(visitor, store):
    state = visitor.begin()
    first, second = (trial["trial_id"] for trial in state["trials"][:2])
    assert visitor.vote(first, "left").status == 425  # it was issued this moment
    time.sleep(2 * MIN_VIEWING_MS / 1000)
    early = visitor.vote(first, "left", response_ms=MIN_VIEWING_MS - 1)
    assert (early.status, early.headers["retry-after"]) == (425, "1")
    assert store.vote(first) is None
    assert visitor.vote(first, "left", response_ms=MIN_VIEWING_MS).status == 200
    # The second was issued with the first, but it can only have been looked at since then.
    assert visitor.vote(second, "left").status == 425
    assert store.vote(second) is None
    time.sleep(2 * MIN_VIEWING_MS / 1000)
    assert visitor.vote(second, "left").status == 200


def test_votes_sent_at_one_moment_do_not_pass_beside_each_other(visitor, store):
    """All three open trials at once, four times over: what is kept lies apart by the time that
    images need, the rest was too early."""
    trials = [trial["trial_id"] for trial in visitor.begin()["trials"]]
    assert len(trials) == 3
    time.sleep(2 * MIN_VIEWING_MS / 1000)
    start = threading.Barrier(12)

    def send(number):
        start.wait()
        return visitor.vote(trials[number % 3], "left").status

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(send, range(12)))
    assert set(statuses) <= {200, 425}
    kept = [vote.created_at for vote in map(store.vote, trials) if vote is not None]
    times = sorted(datetime.fromisoformat(at) for at in kept)
    gaps = [(later - before).total_seconds() for before, later in itertools.pairwise(times)]
    assert times
    assert all(gap >= MIN_VIEWING_MS / 1000 for gap in gaps)


def test_who_asks_too_fast_is_slowed_and_others_are_not(server, study):
    fast, other = (server.visitor(next(study[2])) for _ in range(2))
    fast.start()
    answers = [fast.trials().status for _ in range(40)]
    assert answers[:19] == [200] * 19  # one of the 20 was the start
    assert 429 in answers
    refused = fast.trials()
    assert int(refused.headers["retry-after"]) >= 1
    assert other.start().status == 200
    elsewhere = server.visitor(next(study[2]))
    assert elsewhere.start().status == 200
    time.sleep(int(refused.headers["retry-after"]))
    assert fast.trials().status != 429


def test_a_second_login_of_the_same_person_is_slowed_with_the_first(server, study):
    link = next(study[2])
    one, two = server.visitor(link), server.visitor(link)
    assert one.cookie != two.cookie
    assert 429 in [visitor.start().status for _ in range(20) for visitor in (one, two)]


def test_websockets_of_one_person_are_few(server, visitor):
    address = f"ws://127.0.0.1:{server.port}/_stcore/stream"
    cookie = {"Cookie": f"evalkit={visitor.cookie}"}

    def open_and_close(times):
        for _ in range(times):
            with connect(address, additional_headers=cookie, subprotocols=["streamlit"]):
                pass

    open_and_close(30)
    with pytest.raises(InvalidStatus) as refused:
        open_and_close(5)  # one or two more may have been earned meanwhile
    assert refused.value.response.status_code == 429
    assert visitor.start().status == 200  # votes go on


def test_notes_are_few(server, visitor):
    visitor.start()
    note = {**BODIES["/study/note"], "session_id": visitor.session_id}
    answers = [visitor.post("note", note).status for _ in range(12)]
    assert answers[:10] == [200] * 10
    assert answers[-1] == 429
