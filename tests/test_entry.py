"""From a link to the page and out again: personal, open and Prolific links, over real HTTP."""

import json
import re
import subprocess
import sys

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from evalkit.collection import invite, open_collection, open_link
from evalkit.errors import StudyError
from evalkit.store import open_store
from evalkit.study_folder import StudyFolder
from tests.study_factory import NOW, make_study
from tests.study_server import StudyServer, cookie_of

PID = "5f3c0a1b2d4e6f708192a3b4"
PROLIFIC = "?PROLIFIC_PID={}&STUDY_ID=64aa&SESSION_ID=77bb"


def with_sections(folder, text, **files):
    """The study with more sections in its file, opened as if for the first time."""
    file = folder.root / "study.toml"
    file.write_text(file.read_text() + text)
    for name, content in files.items():
        (folder.root / f"{name}.toml").write_text(content)
    return StudyFolder(folder.root)


@pytest.fixture(scope="module")
def personal(tmp_path_factory):
    """A server of a study with personal links, and its folder."""
    folder = make_study(tmp_path_factory.mktemp("personal") / "study", votes_per_pair=9)
    own = '[session]\ntexts = "own.toml"\n'
    folder = with_sections(folder, own, own='[unknown]\nheading = "Nanu? <b>&</b>"\n')
    links = iter(invite(folder, 12, NOW, "http://localhost"))
    server = StudyServer(folder.store_address, folder.blinded)
    yield server, folder, links
    server.kill()


@pytest.fixture
def server(personal):
    return personal[0]


@pytest.fixture
def link(personal):
    return next(personal[2])


# ---- personal links


def test_a_link_is_swapped_for_a_cookie_and_a_clean_address(server, link):
    token = link.partition("token=")[2]
    answer = server.enter(link)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert re.match(r"evalkit=[A-Za-z0-9_-]{22}; ", cookie)  # 22 base64 digits: 132 bits
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert answer.headers["cache-control"] == "no-store"
    assert token not in str(answer.headers) + answer.body.decode()
    page = server.request("GET", "/", cookie_of(answer))
    assert page.status == 200
    assert token not in page.body.decode("utf-8", "replace")


def test_behind_a_proxy_with_tls_the_cookie_goes_over_tls_only(server, link):
    https = {"X-Forwarded-Proto": "https"}
    answer = server.request("GET", "/?" + link.partition("?")[2], headers=https)
    assert "Secure" in answer.headers["set-cookie"].split("; ")


def test_the_store_holds_neither_the_token_nor_the_cookie(personal, link):
    server, folder, _ = personal
    cookie = cookie_of(server.enter(link))
    token = link.partition("token=")[2]
    files = [folder.root / f"votes.sqlite{suffix}" for suffix in ("", "-wal")]
    content = b"".join(file.read_bytes() for file in files if file.exists())
    assert content
    for secret in (token, cookie):
        assert secret.encode() not in content


def test_a_link_opened_where_somebody_else_was_let_in_is_in_the_log(personal):
    server, folder, links = personal
    store = open_store(folder.store_address)
    first, second = next(links), next(links)
    before, now = (store.annotator(link.partition("token=")[2]) for link in (first, second))
    cookie = cookie_of(server.enter(first))

    def noted():
        log = store.log()
        own = log[(log["event"] == "other_link") & (log["annotator_id"] == before.annotator_id)]
        return own[["actor", "detail"]].values.tolist()

    server.enter(first, cookie)
    assert noted() == []
    server.enter(second, cookie)
    assert noted() == [["annotator", json.dumps({"annotator_id": now.annotator_id})]]
    store.close()


def test_a_browser_that_is_known_keeps_its_cookie(server, link, personal):
    cookie = cookie_of(server.enter(link))
    again = server.enter(link, cookie)
    assert again.status == 303
    assert "set-cookie" not in again.headers
    other = server.enter(next(personal[2]), cookie)
    assert cookie_of(other) != cookie


@pytest.mark.parametrize("query", ["token=", "token=unknown", "token=%27%20OR%201=1", "token=<b>"])
def test_an_unknown_token_gets_a_kind_page_in_the_study_s_words(server, query):
    answer = server.enter(f"?{query}")
    assert answer.status == 403
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    assert "<h1>Nanu? &lt;b&gt;&amp;&lt;/b&gt;</h1>" in text
    assert '<html lang="en">' in text
    assert "set-cookie" not in answer.headers
    assert "OR 1=1" not in text


@pytest.mark.parametrize("cookie", [None, "", "A" * 22, "x", "A" * 5000])
def test_without_a_login_the_page_and_its_websocket_are_closed(server, cookie):
    assert server.request("GET", "/", cookie).status == 403
    assert server.request("HEAD", "/", cookie).status == 403
    headers = {"Cookie": f"evalkit={cookie}"} if cookie is not None else {}
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{server.port}/_stcore/stream", additional_headers=headers)
    assert refused.value.response.status_code == 403


def test_other_ways_in_are_closed(server):
    assert server.enter(PROLIFIC.format(PID)).status == 403
    assert server.enter("?open=anything").status == 403
    assert server.enter("?open=").status == 403


# ---- Prolific


@pytest.fixture(scope="module")
def prolific(tmp_path_factory):
    folder = make_study(
        tmp_path_factory.mktemp("prolific") / "study", trials_per_annotator=2, attention_share=0
    )
    entry = (
        '[entry]\nkind = "prolific"\nlimit = 2\ncompletion_code = "C0DE77"\n'
        'return_url = "https://app.prolific.com/submissions/complete?cc=C0DE77"\n'
    )
    folder = with_sections(folder, entry)
    open_collection(folder, NOW).close()
    server = StudyServer(folder.store_address, folder.blinded)
    yield server, folder
    server.kill()


def test_the_address_for_prolific_has_its_placeholders(prolific):
    address = open_link(prolific[1], NOW, "https://example.org/")
    assert address == (
        "https://example.org/?PROLIFIC_PID={{%PROLIFIC_PID%}}"
        "&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
    )


@pytest.mark.parametrize(
    "query",
    [
        "?PROLIFIC_PID=abc",
        "?PROLIFIC_PID=&STUDY_ID=&SESSION_ID=",
        "?PROLIFIC_PID=a&PROLIFIC_PID=b&STUDY_ID=c&SESSION_ID=d",
        PROLIFIC.format("%7B%7B%25PROLIFIC_PID%25%7D%7D"),
        PROLIFIC.format("<script>alert(1)</script>"),
        PROLIFIC.format("a" * 65),
        PROLIFIC.format("..%2f.."),
    ],
)
def test_malformed_ids_are_refused(prolific, query):
    server, folder = prolific
    answer = server.enter(query)
    assert answer.status == 400
    assert b"alert" not in answer.body
    store = open_store(folder.store_address)
    assert "abc" not in set(store.annotators()["external_id"].dropna())
    store.close()


def test_from_prolific_to_the_completion_code_and_no_further(prolific):
    server, folder = prolific
    visitor = server.visitor(PROLIFIC.format(PID))
    state = visitor.begin()
    while state["stage"] == "vote":
        assert b"C0DE77" not in str(state).encode()
        state = visitor.vote_on(state)
    assert state == {
        **state,
        "stage": "done",
        "completion": {
            "code": "C0DE77",
            "return_url": "https://app.prolific.com/submissions/complete?cc=C0DE77",
        },
    }
    # The same person on another computer is the same annotator, and done.
    elsewhere = server.visitor(PROLIFIC.format(PID))
    assert elsewhere.cookie != visitor.cookie
    assert elsewhere.start().json["completion"]["code"] == "C0DE77"
    # And in the same browser keeps the cookie.
    assert "set-cookie" not in server.enter(PROLIFIC.format(PID), visitor.cookie).headers
    # One place is left, then the study is full.
    second = server.visitor(PROLIFIC.format("second"))
    assert second.start().json["stage"] == "consent"
    # A look at the page takes no place: whoever agrees first has it.
    third = server.visitor(PROLIFIC.format("third"))
    version = third.start().json["consent"]["version"]
    assert second.begin()["stage"] == "vote"
    body = {"session_id": third.session_id, "version": version}
    assert third.post("consent", body).json == {"stage": "full"}
    assert third.start().json["stage"] == "full"
    full = server.enter(PROLIFIC.format("fourth"))
    assert full.status == 403
    assert "set-cookie" not in full.headers
    assert server.visitor(PROLIFIC.format("second")).start().json["stage"] == "vote"
    store = open_store(folder.store_address)
    assert sorted(store.annotators()["external_id"]) == sorted([PID, "second", "third"])
    store.close()


def test_who_withdrew_gets_no_place_by_coming_again(prolific):
    server, folder = prolific
    store = open_store(folder.store_address)
    before = store.entry()
    store.set_entry(before.model_copy(update={"limit": 9}))
    visitor = server.visitor(PROLIFIC.format("sorry"))
    visitor.begin()
    people = store.annotators().set_index("external_id")
    assert people.loc["sorry", "external_session"] == "77bb"
    assert visitor.post("withdraw", {}).json["stage"] == "withdrawn"
    again = server.visitor(PROLIFIC.format("sorry"))
    assert again.start().json["stage"] == "withdrawn"
    assert len(store.annotators()) == len(people)
    store.set_entry(before)
    store.close()


def test_only_the_study_that_is_named_lets_in(prolific):
    server, folder = prolific
    store = open_store(folder.store_address)
    before = store.entry()
    for study_id, status in (("another", 403), ("64aa", 303)):
        store.set_entry(before.model_copy(update={"limit": 9, "study_id": study_id}))
        assert server.enter(PROLIFIC.format("visitor")).status == status
    store.set_entry(before)
    store.close()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('kind = "prolific"\nlimit = 2', "needs completion_code or return_url"),
        ('kind = "open"\nlimit = 2\nstudy_id = "64aa"', "study_id is Prolific's"),
        ('kind = "prolific"\nlimit = 2\ncompletion_code = "C"\nstudy_id = "6 4"', "study_id"),
    ],
)
def test_an_entry_that_cannot_work_is_refused_in_one_sentence(tmp_path, section, said):
    folder = with_sections(make_study(tmp_path / "study"), f"[entry]\n{section}\n")
    with pytest.raises(StudyError, match=said) as refused:
        folder.study  # noqa: B018
    assert len(str(refused.value).splitlines()) == 1


# ---- the open link


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = make_study(tmp_path_factory.mktemp("open") / "study")
    folder = with_sections(folder, '[entry]\nkind = "open"\nlimit = 2\n')
    link = open_link(folder, NOW, "http://localhost:8501")
    server = StudyServer(folder.store_address, folder.blinded)
    yield server, folder, link
    server.kill()


def test_the_open_link_lets_in_as_many_as_its_limit(opened):
    server, folder, link = opened
    assert re.fullmatch(r"http://localhost:8501/\?open=[A-Za-z0-9_-]{22}", link)
    assert server.enter("?open=wrong").status == 403
    assert server.request("HEAD", "/?" + link.partition("?")[2]).status == 403  # takes no place
    first, second = server.visitor(link), server.visitor(link)
    assert first.begin()["trials"][0]["trial_id"] != second.begin()["trials"][0]["trial_id"]
    assert "set-cookie" not in server.enter(link, first.cookie).headers
    full = server.enter(link)
    assert (full.status, "set-cookie" in full.headers) == (403, False)
    store = open_store(folder.store_address)
    assert store.annotators()["entry"].tolist() == ["open", "open"]
    store.close()


def test_a_new_open_link_closes_the_one_before(opened):
    server, folder, link = opened
    newer = open_link(folder, NOW, "http://localhost:8501")
    assert newer != link
    assert server.enter(link).status == 403
    assert b"<h1>" in server.enter(newer).body  # full by now, and said so


def test_a_personal_study_has_no_open_link(personal):
    with pytest.raises(StudyError, match=r'entry.kind = "personal"'):
        open_link(personal[1], NOW, "http://localhost:8501")


def test_the_command_prints_the_link_for_all(opened, personal):
    server, folder, _ = opened
    command = [sys.executable, "-m", "evalkit.cli", "invite"]

    def invited(root):
        arguments = [*command, str(root), "--open", "--url", "https://example.org"]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60)

    done = invited(folder.root)
    assert (done.returncode, done.stderr) == (0, "")
    [link] = done.stdout.split()
    assert link.startswith("https://example.org/?open=")
    assert b"<h1>" in server.enter(link).body
    refused = invited(personal[1].root)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1
    assert 'entry.kind = "personal", so there is no link for all' in refused.stderr
