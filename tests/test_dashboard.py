"""The dashboard: nothing before login, every figure after it, controls that reach the database."""

import io
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from evalkit.collection import open_collection
from evalkit.errors import EvalkitError
from evalkit.monitoring import annotator_rows
from evalkit.store import open_store
from study_app.dashboard import door as door_module
from study_app.dashboard import headline as headline_module
from study_app.dashboard.accounts import Accounts, read_accounts
from study_app.dashboard.attempts import Attempts
from study_app.dashboard.exports import csv_bytes
from study_app.dashboard.gate import COOKIE, Logins
from study_app.dashboard.sections import annotator_view
from study_app.dashboard.server import SCRIPT, check_password
from study_app.dashboard.watched import Watched, watch
from tests import browser
from tests.dashboard_server import PASSWORD, DashboardServer
from tests.openid_provider import CLIENT_ID, OpenIdProvider
from tests.people import Person
from tests.study_factory import MODELS, NOW, make_study
from tests.study_server import free_port

SECRETS = ("factory", "ann", "bob", "quality", "alignment", "planned", *MODELS)


@pytest.fixture(autouse=True)
def _main(monkeypatch):
    """AppTest puts the app's script in the place of the main module, and leaves it there."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """72 planned votes; ann gave 12, bob 5."""
    folder = make_study(tmp_path_factory.mktemp("dashboard") / "study", trials_per_annotator=24)
    store = open_collection(folder, NOW)
    Person(store, folder.received, "ann").vote(12)
    Person(store, folder.received, "bob").vote(5, choice="left")
    store.close()
    return folder


@pytest.fixture
def store(folder):
    store = open_store(folder.store_address)
    yield store
    store.close()


@pytest.fixture(scope="module")
def server(folder):
    server = DashboardServer(folder.root)
    yield server
    server.kill()


@pytest.fixture
def page(chromium):
    page = browser.open_page(chromium, viewport={"width": 1440, "height": 900})
    yield page
    page.context.close()


# ---- before login


@pytest.mark.parametrize(
    "path", ["/", "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics", "/static/x.js",
             "/media/x.csv", "/app", "/login", "/_stcore/stream"],
)  # fmt: skip
@pytest.mark.parametrize("cookie", [None, f"{COOKIE}=guessed", "evalkit=x"])
def test_without_a_login_no_path_says_anything_of_the_study(server, path, cookie):
    status, text, headers = server.get(path, cookie)
    assert status == (401 if path == "/" else 403)
    assert not any(word in text for word in SECRETS)
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("cookie", [None, f"{COOKIE}=guessed"])
def test_without_a_login_the_websocket_does_not_open(server, cookie):
    headers = {"Cookie": cookie} if cookie else {}
    with pytest.raises(InvalidStatus) as refused:
        connect(
            f"ws://localhost:{server.port}/_stcore/stream",
            additional_headers=headers,
            origin=server.url,
        )
    assert refused.value.response.status_code == 403


def cookie_of(server):
    status, _, headers = server.log_in(PASSWORD)
    assert (status, headers["Location"]) == (303, "/")
    given = headers["Set-Cookie"]
    assert "HttpOnly" in given
    assert "SameSite=lax" in given
    return given.partition(";")[0]


def test_a_login_opens_page_and_websocket_until_logout(server):
    cookie = cookie_of(server)
    assert server.get("/", cookie)[0] == 200
    address = f"ws://localhost:{server.port}/_stcore/stream"
    given = {"Cookie": cookie}
    with connect(address, additional_headers=given, origin=server.url):
        pass
    # Another page that runs on this machine has the same cookies; its address gives it away.
    for origin in ("http://localhost:1", None):
        with pytest.raises(InvalidStatus):
            connect(address, additional_headers=given, origin=origin)
    status, _, headers = server.get("/logout", cookie)
    assert status == 303
    assert "Max-Age=0" in headers["Set-Cookie"]
    assert server.get("/", cookie)[0] == 401


def test_a_login_from_another_page_is_refused(server):
    assert server.log_in(PASSWORD, origin="http://elsewhere.example")[0] == 403


def test_wrong_passwords_are_slowed_down(folder):
    server = DashboardServer(folder.root)
    try:
        assert server.log_in("wrong")[0] == 401
        status, text, headers = server.log_in(PASSWORD)
        assert status == 429
        assert "Too many wrong passwords" in text
        assert int(headers["Retry-After"]) == 1
        assert server.log_in("x" * 5000)[0] == 429
    finally:
        server.kill()


def test_each_wrong_try_doubles_the_wait():
    clock = [0.0]
    attempts = Attempts(lambda: clock[0])
    waits = []
    for _ in range(8):
        attempts.failed("here")
        waits.append(attempts.wait("here"))
        clock[0] += waits[-1]
        assert attempts.wait("here") == 0
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert attempts.wait("elsewhere") == 0
    clock[0] += 901
    attempts.failed("here")
    assert attempts.wait("here") == 1
    attempts.succeeded("here")
    assert attempts.wait("here") == 0


def test_a_login_ends_after_twelve_hours():
    clock = [0.0]
    logins = Logins(PASSWORD, lambda: clock[0])
    assert logins.is_password(PASSWORD)
    assert not logins.is_password(PASSWORD + " ")
    first = logins.log_in()
    assert logins.knows(first)
    assert not logins.knows(None)
    assert not logins.knows("")
    clock[0] = 12 * 3600
    assert not logins.knows(first)


@pytest.mark.parametrize(
    ("password", "part"),
    [(None, "no password; set EVALKIT_DASHBOARD_PASSWORD"), ("", "no password"),
     ("short", "has 5 characters; allowed are 12 and more")],
)  # fmt: skip
def test_without_a_good_password_it_does_not_start(folder, password, part):
    environment = {k: v for k, v in os.environ.items() if k != "EVALKIT_DASHBOARD_PASSWORD"}
    if password is not None:
        environment["EVALKIT_DASHBOARD_PASSWORD"] = password
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "dashboard", str(folder.root)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert part in done.stderr
    assert done.stderr.count("\n") == 1


# ---- OpenID Connect

AUTH = {
    "redirect_uri": "http://localhost:1/oauth2callback",
    "cookie_secret": "0123456789abcdef0123456789abcdef",
    "client_id": CLIENT_ID,
    "client_secret": "known to both",
    "server_metadata_url": "http://localhost:1/.well-known/openid-configuration",
}


def write_secrets(path, allowed=("Ann@Example.org",), **changes):
    auth = {**AUTH, **changes}
    lines = [f'{name} = "{value}"' for name, value in auth.items() if value is not None]
    if allowed is not None:
        lines.append(f"allowed_emails = {list(allowed)}")
    path.write_text("\n".join(["[auth]", *lines, ""]))
    return path


def test_accounts_allow_listed_and_verified_addresses(tmp_path):
    accounts = read_accounts(write_secrets(tmp_path / "secrets.toml"))
    ann = {"is_logged_in": True, "email": "ann@EXAMPLE.org", "email_verified": True}
    assert accounts.allows(ann)
    assert not accounts.allows({"is_logged_in": True, "email": "ann@example.org"})
    assert not accounts.allows({**ann, "email_verified": False})
    assert not accounts.allows({**ann, "is_logged_in": False})
    assert not accounts.allows({**ann, "email": "bob@example.org"})
    assert not accounts.allows({"is_logged_in": True})
    assert not accounts.allows({})


def test_unverified_addresses_are_let_in_only_where_the_file_says_so(tmp_path):
    file = write_secrets(tmp_path / "secrets.toml")
    plain = file.read_text()
    file.write_text(plain + "allow_unverified_emails = true\n")
    accounts = read_accounts(file)
    assert accounts.allows({"is_logged_in": True, "email": "ann@example.org"})
    assert accounts.allows(
        {"is_logged_in": True, "email": "ann@example.org", "email_verified": False}
    )
    assert not accounts.allows({"is_logged_in": True, "email": "bob@example.org"})
    file.write_text(plain + 'allow_unverified_emails = "yes"\n')
    with pytest.raises(EvalkitError, match="allow_unverified_emails = 'yes'; allowed are true"):
        read_accounts(file)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"allowed": None}, "[auth] lacks allowed_emails"),
        ({"allowed": []}, "[auth] lacks allowed_emails"),
        ({"client_id": None}, "[auth] lacks client_id"),
        ({"cookie_secret": "short"}, "auth.cookie_secret has 5 characters"),
    ],
)
def test_a_secrets_file_that_lacks_something_is_told(tmp_path, settings, part):
    with pytest.raises(EvalkitError) as refused:
        read_accounts(write_secrets(tmp_path / "secrets.toml", **settings))
    assert part in str(refused.value)


def test_a_secrets_file_without_auth_or_without_sense_is_told(tmp_path):
    file = tmp_path / "secrets.toml"
    file.write_text("[other]\n")
    with pytest.raises(EvalkitError, match=r"has no \[auth\]"):
        read_accounts(file)
    file.write_text("[auth\n")
    with pytest.raises(EvalkitError, match="not valid TOML"):
        read_accounts(file)


def test_a_login_by_openid_connect_needs_authlib(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EvalkitError, match="needs Authlib, which is not installed"):
        read_accounts(write_secrets(tmp_path / "secrets.toml"))


@pytest.mark.browser
def test_login_by_openid_connect(folder, page, tmp_path):
    provider, port = OpenIdProvider(), free_port()
    secrets = write_secrets(
        tmp_path / "secrets.toml",
        redirect_uri=f"http://localhost:{port}/oauth2callback",
        server_metadata_url=f"{provider.url}/.well-known/openid-configuration",
    )
    server = DashboardServer(folder.root, "--secrets", str(secrets), port=port)
    heard = []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda data: heard.append(data)))
    try:
        provider.email = "stranger@example.org"
        page.goto(server.url)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_text("not on the list")).to_be_visible()
        frames = b"".join(x if isinstance(x, bytes) else x.encode() for x in heard)
        assert b"not on the list" in frames
        assert not any(word.encode() in frames for word in ("factory", "ann", "72 planned"))
        page.get_by_role("button", name="Log out").click()
        provider.email = "ann@example.org"
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_text("of 72 planned votes")).to_be_visible()
    finally:
        server.kill()
        provider.close()


# ---- the page itself, without a browser


@pytest.fixture
def script(folder, store, monkeypatch):
    """The script for somebody who is logged in."""
    monkeypatch.setattr(door_module, "is_admitted", lambda door: True)
    monkeypatch.setattr(headline_module, "is_admitted", lambda door: True)
    watch(Watched(store, folder.received, "factory", Logins(PASSWORD)))
    return AppTest.from_file(str(SCRIPT), default_timeout=60)


@pytest.mark.parametrize("cookies", [{}, {COOKIE: "logged out since"}])
def test_the_script_draws_nothing_for_who_is_not_admitted(folder, store, monkeypatch, cookies):
    monkeypatch.setattr(type(st.context), "cookies", property(lambda _: cookies))
    watch(Watched(store, folder.received, "factory", Logins(PASSWORD)))
    done = AppTest.from_file(str(SCRIPT), default_timeout=60).run()
    assert not done.exception
    assert [info.value for info in done.info] == [
        "Your login has ended. Load this page again to log in."
    ]
    assert len(done.main.children) == 1


def test_the_script_does_not_open_for_an_account_without_login(folder, store):
    watch(Watched(store, folder.received, "factory", Accounts(folder.root, frozenset({"a@b.c"}))))
    done = AppTest.from_file(str(SCRIPT), default_timeout=60).run()
    assert [button.label for button in done.button] == ["Log in"]
    assert not done.dataframe
    assert not done.metric


def test_headline_and_tables(script, folder, store):
    done = script.run()
    assert not done.exception
    figures = {metric.label: metric.value for metric in done.metric}
    assert (figures["Received"], figures["Kept"], figures["Withdrawn"]) == ("17", "17", "0")
    assert [tab.label for tab in done.tabs] == [
        "Annotators", "Pairs", "Open trials", "Log", "Controls", "Export",
    ]  # fmt: skip
    shown = done.dataframe[0].value
    assert shown["annotator"].tolist() == ["ann", "bob"]
    assert shown["votes"].tolist() == [12, 5]
    assert "Renew tables" in [button.label for button in done.button]
    assert not done.error


def test_the_alarm_is_shown(script, folder):
    extra = folder.received / "other.jsonl"
    extra.write_text('{"trial_id": "lost", "revision": 1, "at": "2024-01-01T10:00:00.000+00:00"}\n')
    try:
        [alarm] = script.run().error
    finally:
        extra.unlink()
    assert alarm.value.startswith("Fewer votes are kept than were received: 1 ")


def test_a_form_that_is_not_filled_changes_nothing(script, store):
    done = script.run()
    before = len(store.log())
    [press] = [button for button in done.button if button.label == "Pause the study"]
    done = press.click().run()
    assert [warning.value for warning in done.warning] == [
        "Fill in every field of this form first."
    ]
    assert store.paused() is None
    assert len(store.log()) == before


def test_controls_reach_the_database(script, store):
    done = script.run()
    [chosen] = [box for box in done.selectbox if box.label == "Annotator to block"]
    [reason] = [field for field in done.text_input if field.label == "Why they are blocked"]
    chosen.select("bob")
    reason.input("always left")
    [press] = [button for button in done.button if button.label == "Block"]
    done = press.click().run()
    row = store.annotators().set_index("annotator_id").loc["bob"]
    assert row["blocked_reason"] == "always left"
    [chosen] = [box for box in done.selectbox if box.label == "Annotator to unblock"]
    assert chosen.options == ["bob"]
    chosen.select("bob")
    [press] = [button for button in done.button if button.label == "Unblock"]
    press.click().run()
    assert store.annotators()["blocked_at"].isna().all()
    events = store.log()["event"].tolist()
    assert events[-2:] == ["block", "unblock"]


def test_the_view_of_annotators_is_in_percent(store):
    view = annotator_view(annotator_rows(store, NOW), 24).set_index("annotator")
    assert view.loc["ann", "done"] == pytest.approx(50)
    assert view.loc["bob", "left"] == 100
    assert view.loc["ann", "seconds"] == 2.0
    far = annotator_rows(store, NOW).assign(outlier_distance=[0.25, 2.5])
    assert annotator_view(far, 24)["outlier"].tolist() == [0.25, 2.5]  # quartile ranges, no share
    few = annotator_rows(store, NOW).assign(attention_n=[0, 4], attention_passed=[0, 3])
    attention = annotator_view(few, 24)["attention"]
    assert np.isnan(attention[0])
    assert attention[1] == 75


def test_csv_for_a_spreadsheet_runs_nothing():
    frame = pd.DataFrame({"reason": ["=1+1", "plain, text", "@x", "-"], "ms": [-1, 2, 3, 4]})
    back = pd.read_csv(io.BytesIO(csv_bytes(frame)))
    assert back["reason"].tolist() == ["'=1+1", "plain, text", "'@x", "'-"]
    assert back["ms"].tolist() == [-1, 2, 3, 4]


def test_a_short_password_opens_nothing():
    with pytest.raises(EvalkitError, match="12 and more"):
        check_password("eleven char")
    assert check_password("twelve chars").is_password("twelve chars")


def test_streamlit_still_has_what_the_door_asks():
    assert hasattr(st, "login")
    assert hasattr(st.context, "cookies")


# ---- in a real browser


@pytest.mark.browser
def test_login_block_pause_and_export(server, page, store, tmp_path):
    said, outside, broken = [], [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: outside.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(server.url)
    expect(page.get_by_role("heading", name="Coordinator")).to_be_visible()
    assert not any(word in page.content() for word in SECRETS)
    page.get_by_label("Password").fill("not the password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    page.wait_for_timeout(1100)  # as long as one wrong try makes wait
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("of 72 planned votes")).to_be_visible()
    page.reload()
    expect(page.get_by_text("of 72 planned votes")).to_be_visible()

    page.get_by_role("tab", name="Controls").click()
    page.get_by_label("Annotator to block").click()
    page.get_by_role("option", name="bob").click()
    page.get_by_label("Why they are blocked").fill("seen twice")
    page.get_by_role("button", name="Block", exact=True).click()
    expect(page.get_by_label("Annotator to unblock")).to_be_visible()
    row = store.annotators().set_index("annotator_id").loc["bob"]
    assert row["blocked_reason"] == "seen twice"

    page.get_by_label("Why the study is paused").fill("a question of ethics")
    page.get_by_role("button", name="Pause the study").click()
    expect(page.get_by_role("button", name="Resume the study")).to_be_visible()
    assert store.paused()["reason"] == "a question of ethics"
    expect(page.get_by_text("a question of ethics")).to_be_visible()
    page.get_by_role("button", name="Resume the study").click()
    expect(page.get_by_role("button", name="Pause the study")).to_be_visible()
    assert store.paused() is None
    store.unblock("bob", NOW)

    page.get_by_role("tab", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="votes.csv").click()
    download.value.save_as(tmp_path / "votes.csv")
    text = (tmp_path / "votes.csv").read_text()
    votes = pd.read_csv(io.StringIO(text))
    assert len(votes) == 17
    assert {"reason", "revision", "session_id", "voted_session_id", "response_ms"} <= set(votes)
    assert set(votes["choice"]) <= {"left", "right", "tie", "both_bad"}
    assert not any(model in text for model in MODELS)
    with page.expect_download() as download:
        page.get_by_role("button", name="sessions.csv").click()
    download.value.save_as(tmp_path / "sessions.csv")
    sessions = pd.read_csv(tmp_path / "sessions.csv")
    assert set(votes["voted_session_id"]) <= set(sessions["session_id"])
    assert {"viewport_width", "screen_height", "pixel_ratio"} <= set(sessions)

    page.get_by_role("tab", name="Pairs").click()
    expect(page.locator("canvas, svg").first).to_be_attached()
    other = page.context.new_page()
    other.goto(server.url)
    expect(other.get_by_text("of 72 planned votes")).to_be_visible()
    page.get_by_role("link", name="Log out").click()
    expect(page.get_by_role("heading", name="Coordinator")).to_be_visible()
    # A page that is still open elsewhere learns it when it is next renewed.
    expect(other.get_by_text("Your login has ended")).to_be_visible(timeout=40_000)
    expect(other.get_by_text("of 72 planned votes")).to_have_count(0)
    assert not [line for line in said if "Content Security Policy" in line]
    assert all(url.startswith((server.url, "data:", "blob:")) for url in outside)
    assert broken == []
