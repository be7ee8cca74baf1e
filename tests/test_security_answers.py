"""What reaches a browser: prompts, kinds, images, the websocket, headers of every answer."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

from evalkit.collection import invite
from evalkit.store import open_store
from study_app.headers import HEADERS
from tests.study_factory import MODELS, NOW, make_study
from tests.study_server import PAGE, StudyServer, serve_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A running server, its study folder, and links into it."""
    yield from serve_study(
        tmp_path_factory.mktemp("answers"),
        n_links=120,
        n_prompts=8,
        votes_per_pair=40,
        trials_per_annotator=24,
        practice_trials=1,
    )


@pytest.fixture
def store(study):
    store = open_store(study[1].store_address)
    yield store
    store.close()


# ---- prompts, kinds, images, texts


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
