"""Attacks over real HTTP: forged logins and votes, others' trials, leaks, floods."""

import io
import json
import re
import time

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from evalkit.collection import invite
from evalkit.store import open_store
from study_app.headers import HEADERS
from study_app.routes import routes
from tests.study_factory import MODELS, NOW, make_study
from tests.study_server import PAGE, WINDOW, StudyServer

MIN_VIEWING_MS = 120


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A running server, its study folder, and links into it."""
    folder = make_study(
        tmp_path_factory.mktemp("security") / "study",
        n_prompts=8,
        votes_per_pair=40,
        trials_per_annotator=24,
        practice_trials=1,
        min_viewing_ms=MIN_VIEWING_MS,
    )
    links = iter(invite(folder, 120, NOW, "http://localhost"))
    server = StudyServer(folder.store_address, folder.blinded)
    yield server, folder, links
    server.kill()


@pytest.fixture
def server(study):
    return study[0]


@pytest.fixture
def visitor(study):
    return study[0].visitor(next(study[2]))


@pytest.fixture
def voting(visitor):
    """Somebody at their first trial that counts."""
    visitor.state = visitor.skip_practice(visitor.begin())
    return visitor


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


# ---- what reaches the browser


ALWAYS = {"trial_id", "question_id", "question", "choices"}
PLACE = {"part", "parts", "block", "blocks", "practice"}


def test_prompts_kinds_and_expected_sides_are_told_only_where_they_may(server, study, store):
    visitor = server.visitor(next(study[2]))
    state = visitor.begin()
    shown, feedback = [], []
    while state["stage"] == "vote":
        assert set(state) - {"vote", "feedback"} == {"stage", "trials", "progress"}
        shown += [trial for trial in state["trials"] if trial not in shown]
        practice = state["trials"][0]["practice"]
        state = visitor.vote_on(state)
        assert ("feedback" in state) == practice
        feedback += [state["feedback"]] if practice else []
    kinds = store.trials().set_index("trial_id")["kind"]
    for trial in shown:
        prompt = {"prompt"} if trial["question_id"] == "alignment" else set()
        assert set(trial) == ALWAYS | PLACE | prompt
        assert trial["practice"] == (kinds[trial["trial_id"]] == "practice")
    assert {kinds[trial["trial_id"]] for trial in shown} >= {"main", "attention", "practice"}
    assert [set(each) for each in feedback] == [{"right", "expected", "foil"}] * 2
    assert [each["right"] == (each["expected"] == "left") for each in feedback] == [True, True]
    assert [each["foil"] for each in feedback] == ["pixelated", "other_prompt"]


def test_both_images_of_a_trial_are_alike_in_all_but_their_pixels(server, voting, store):
    for trial in [voting.state["trials"][0], *voting.state["trials"][1:]]:
        left, right = (voting.image(trial["trial_id"], side) for side in ("left", "right"))
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
        stored = store.trial(trial["trial_id"])
        original = (server.blinded / stored.left_file).read_bytes()
        assert left.body.rstrip(b"\0") == original.rstrip(b"\0")
    assert voting.image(trial["trial_id"], "middle").status == 404


def test_an_example_s_images_are_alike_too(server, study):
    visitor = server.visitor(next(study[2]))
    visitor.start()
    state = visitor.post("trials", {"session_id": visitor.session_id})
    assert state.json["stage"] == "consent"
    version = state.json["consent"]["version"]
    body = {"session_id": visitor.session_id, "version": version}
    instructions = visitor.post("consent", body).json["instructions"]
    [example] = instructions["examples"]  # of the question that hides the prompt
    assert set(example) == {"question_id", "question", "expected", "foil"}
    assert example["question_id"] == "quality"
    left, right = (
        server.request("GET", f"/study/example/quality/{side}", visitor.cookie)
        for side in ("left", "right")
    )
    assert (left.status, right.status) == (200, 200)
    assert len(left.body) == len(right.body)
    pictures = {
        side: np.asarray(Image.open(io.BytesIO(answer.body)).convert("L"), dtype=float)
        for side, answer in (("left", left), ("right", right))
    }
    # The pixelated one is flat within its cells: its finest differences are fewer.
    steps = {side: (np.diff(picture) != 0).mean() for side, picture in pictures.items()}
    assert max(steps, key=steps.get) == example["expected"]
    missing = server.request("GET", "/study/example/alignment/left", visitor.cookie)
    assert missing.status == 404


def test_what_people_write_comes_back_only_as_json(tmp_path):
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    folder = make_study(tmp_path / "study", n_prompts=3, trials_per_annotator=2)
    prompts = folder.prompts_file.read_text()
    assert prompts.count("one otter by lake 0") == 1
    text = (folder.root / "study.toml").read_text()
    question = "Which image shows the description better?"
    assert question in text
    (folder.root / "study.toml").write_text(text.replace(question, f"{evil} Which?"))
    folder = type(folder)(folder.root)
    [link] = invite(folder, 1, NOW, "http://localhost")
    server = StudyServer(folder.store_address, folder.blinded)
    try:
        visitor = server.visitor(link)
        state = visitor.begin()
        while state["trials"][0]["question_id"] != "alignment":
            state = visitor.vote_on(state)
        trial = state["trials"][0]
        assert trial["question"] == f"{evil} Which?"
        answer = visitor.vote(trial["trial_id"], "left", reason=evil)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert b"alert" not in server.request("GET", "/", visitor.cookie).body
        store = open_store(folder.store_address)
        assert store.vote(trial["trial_id"]).reason == evil
        store.close()
    finally:
        server.kill()


def test_the_websocket_carries_texts_and_nothing_personal(server, study, store):
    link = next(study[2])
    visitor = server.visitor(link)
    visitor.begin()
    annotator = store.logged_in(visitor.cookie)
    address = f"ws://127.0.0.1:{server.port}/_stcore/stream"
    received = b""
    with connect(
        address,
        additional_headers={"Cookie": f"evalkit={visitor.cookie}"},
        subprotocols=["streamlit"],
        origin=f"http://127.0.0.1:{server.port}",
    ) as socket:
        socket.send(RERUN)
        while b"evalkit_session" not in received or b"This link does not open" not in received:
            message = socket.recv(timeout=20)
            received += message if isinstance(message, bytes) else message.encode()
    secrets = [link.partition("token=")[2], visitor.cookie, visitor.session_id]
    prompts = [f"by lake {n}" for n in range(8)]
    for secret in (*secrets, annotator.annotator_id, *MODELS, *prompts, "Which image looks"):
        assert secret.encode() not in received, secret


def _rerun():
    """Streamlit's message that asks for the script to be run, as its page sends it first."""
    from streamlit.proto.BackMsg_pb2 import BackMsg

    message = BackMsg()
    message.rerun_script.query_string = ""
    return message.SerializeToString()


RERUN = _rerun()


# ---- every answer


ADDRESSES = [
    ("GET", "/"),
    ("GET", "/?token=unknown"),
    ("GET", "/favicon.png"),
    ("GET", "/_stcore/health"),
    ("GET", "/_stcore/host-config"),
    ("GET", "/_stcore/metrics"),
    ("GET", "/nowhere"),
    ("GET", "/study/nowhere"),
    ("GET", "/study/vote"),
    ("POST", "/study/session"),
    ("POST", "/"),
    ("PUT", "/study/session"),
    ("DELETE", "/study/vote"),
    ("OPTIONS", "/study/vote"),
    ("GET", "/study/image/x/left"),
    ("GET", "/static/../x"),
]


@pytest.mark.parametrize("known", [True, False], ids=["known", "stranger"])
def test_every_answer_has_the_headers_and_no_banner(server, visitor, known):
    for method, path in ADDRESSES:
        body = {} if method == "POST" else None
        answer = server.request(method, path, visitor.cookie if known else None, body)
        for name, value in HEADERS.items():
            assert answer.headers.get(name.lower()) == value, (method, path)
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert not {"server", "x-powered-by"} & set(answer.headers)
        assert "access-control-allow-origin" not in answer.headers


def test_scripts_of_the_page_are_its_own_and_named(server, visitor):
    policy = server.request("GET", "/", visitor.cookie).headers["content-security-policy"]
    scripts = re.search(r"script-src ([^;]*);", policy).group(1).split()
    assert scripts[:2] == ["'self'", "blob:"]
    assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/=]{44}'", each) for each in scripts[2:])
    plain = server.request("GET", "/").headers["content-security-policy"]
    assert "script-src 'none';" in plain


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_stcore/metrics"),
        ("GET", "/_stcore/metrics/"),
        ("GET", "/_stcore/script-health-check"),
        ("PUT", "/_stcore/upload_file/session/file"),
        ("DELETE", "/_stcore/upload_file/session/file"),
        ("GET", "/_stcore/agent/openapi.json"),
        ("POST", "/_stcore/agent/mcp"),
        ("GET", "/_stcore/bidi-components/x/y"),
        ("GET", "/component/x/index.html"),
        ("GET", "/media/x.png"),
        ("GET", "/app/static/study.toml"),
        ("GET", "/oauth2callback"),
        ("GET", "/auth/login"),
        ("POST", "/"),
        ("GET", "/any/page"),
    ],
)
def test_what_the_app_does_not_need_is_closed(server, visitor, method, path):
    answer = server.request(method, path, visitor.cookie, headers=PAGE)
    assert (answer.status, answer.body) == (404, b"Not found")


def test_nothing_that_was_served_names_a_model(server, voting):
    answers = [voting.start(), voting.trials(), server.request("GET", "/", voting.cookie)]
    answers += [voting.image(voting.state["trials"][0]["trial_id"], s) for s in ("left", "right")]
    for answer in answers:
        content = answer.body + json.dumps(answer.headers).encode()
        for word in (*MODELS, "sdxl", "secret"):
            assert word.encode() not in content
