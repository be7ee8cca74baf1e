"""The ways in and out of the page: Prolific, an open link, withdrawal, pauses, texts, keys."""

import pytest
from playwright.sync_api import expect

from evalkit.study_sections import Entry
from tests.browser import (
    DESIGN,
    agree,
    nothing_free,
    open_page,
    press_enter,
    serve_scenes,
    vote,
    wait_until_votable,
)
from tests.study_factory import NOW

pytestmark = pytest.mark.browser
SHORT = {**DESIGN, "trials_per_annotator": 2, "practice_trials": 0, "attention_share": 0.0}
CODE, RETURN = "C1A2B3", "https://app.prolific.example/submissions/complete?cc=C1A2B3"
OWN_TEXTS = """
[thanks]
heading = "Danke <b>sehr</b>"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    yield from serve_scenes(tmp_path_factory.mktemp("short"), design=SHORT)


@pytest.fixture(scope="module")
def german(tmp_path_factory):
    session = {"language": "de", "texts": "texts.toml", "keys": {"left": "j", "right": "Space"}}
    design = {**SHORT, "practice_trials": 1}
    root = tmp_path_factory.mktemp("german")
    flat = {name: value for name, value in session.items() if name != "keys"}
    sections = {"session": flat, "session.keys": session["keys"]}
    yield from serve_scenes(root, design=design, texts=OWN_TEXTS, **sections)


def finish(page):
    press_enter(page)
    vote(page, "ArrowLeft")
    page.get_by_role("heading", name="Part 2 of 2").wait_for()
    press_enter(page)
    vote(page, "ArrowRight")
    page.get_by_role("heading", name="Thank you").wait_for()


def test_from_prolific_and_back_with_a_completion_code(page, served):
    served.store.set_entry(Entry(kind="prolific", limit=5, completion_code=CODE, return_url=RETURN))
    agree(page, f"{served.server.url}/?PROLIFIC_PID=pid1&STUDY_ID=s&SESSION_ID=t")
    assert page.url == f"{served.server.url}/"
    finish(page)
    expect(page.get_by_text(CODE, exact=True)).to_be_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == CODE
    leave = page.get_by_role("link", name="Return and finish")
    assert leave.get_attribute("href") == RETURN
    page.goto(f"{served.server.url}/?PROLIFIC_PID=pid1&STUDY_ID=s&SESSION_ID=u")
    expect(page.get_by_text(CODE, exact=True)).to_be_visible()
    people = served.store.annotators()
    assert people["external_id"].dropna().tolist() == ["pid1"]


def test_the_last_answer_can_be_changed_on_the_thanks_screen(page, served):
    served.store.set_entry(Entry())
    link = served.link()
    agree(page, link)
    finish(page)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Right", pressed=True)).to_be_visible()
    vote(page, "ArrowLeft")
    page.get_by_role("heading", name="Thank you").wait_for()
    votes = served.votes(served.annotator_id(link))
    told = [(vote["revision"], vote["choice"]) for vote in votes]
    assert told == [(1, "left"), (1, "right"), (2, "left")]


def test_an_open_link_lets_in_up_to_its_limit(chromium, served):
    taken = int((served.store.annotators()["entry"] != "personal").sum())
    served.store.set_entry(Entry(kind="open", limit=taken + 1))
    served.store.set_open_code("welcome")
    first, second = open_page(chromium), open_page(chromium)
    first.goto(f"{served.server.url}/?open=welcome")
    first.get_by_role("button", name="I agree, begin").click()
    expect(first.get_by_role("heading", name="What you will do")).to_be_visible()
    second.goto(f"{served.server.url}/?open=welcome")
    expect(second.get_by_role("heading", name="All places are taken")).to_be_visible()
    first.context.close()
    second.context.close()
    served.store.set_entry(Entry())


def test_withdrawing_deletes_the_answers_after_a_question(page, served):
    link = served.link()
    annotator_id = served.annotator_id(link)
    agree(page, link)
    press_enter(page)
    vote(page, "ArrowLeft")
    page.get_by_role("heading", name="Part 2 of 2").wait_for()
    leave = page.get_by_role("button", name="Stop taking part")
    leave.click()
    expect(page.get_by_role("dialog", name="Stop taking part?")).to_be_visible()
    expect(page.get_by_role("button", name="Keep taking part")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert served.choices(annotator_id) == ["left"]
    leave.click()
    page.get_by_role("button", name="Stop and delete my answers").click()
    expect(page.get_by_role("heading", name="Your answers are deleted")).to_be_visible()
    expect(leave).to_have_count(0)
    assert served.choices(annotator_id) == []
    assert "withdraw" in served.events(annotator_id)
    page.reload()
    expect(page.get_by_role("heading", name="This link does not open a study")).to_be_visible()


def test_withdrawing_without_a_connection_is_done_when_it_is_back(page, served):
    link = served.link()
    agree(page, link)
    press_enter(page)
    wait_until_votable(page)
    page.context.set_offline(True)
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Stop taking part").click()
    page.get_by_role("button", name="Stop and delete my answers").click()
    page.get_by_text("No connection just now").wait_for()
    expect(page.get_by_text("Your answers are being deleted.")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_role("heading", name="Your answers are deleted")).to_be_visible()
    assert served.choices(served.annotator_id(link)) == []


def test_a_paused_study_says_so_and_goes_on(page, served):
    page.clock.install()
    link = served.link()
    agree(page, link)
    press_enter(page)
    wait_until_votable(page)
    served.store.pause("lunch", NOW)
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="The study has a pause")).to_be_visible()
    page.clock.fast_forward(21_000)  # the page asks every 20 s
    expect(page.get_by_role("heading", name="The study has a pause")).to_be_visible()
    served.store.resume(NOW)
    page.clock.fast_forward(21_000)
    expect(page.get_by_role("heading", name="Part 2 of 2")).to_be_visible()
    assert served.choices(served.annotator_id(link)) == ["left"]


def test_nothing_free_is_said_and_the_page_goes_on_by_itself(page, served):
    page.clock.install()
    agree(page, served.link())
    page.route("**/study/session", nothing_free)
    page.reload()
    expect(page.get_by_role("heading", name="Just a moment, please")).to_be_visible()
    page.clock.fast_forward(21_000)  # the page asks every 20 s
    expect(page.get_by_role("heading", name="Part 1 of 2")).to_be_visible()


def test_a_blocked_annotator_is_told_kindly(page, served):
    link = served.link()
    served.store.block(served.annotator_id(link), "checks missed", NOW)
    page.goto(link)
    expect(page.get_by_role("heading", name="Your part ends here")).to_be_visible()
    expect(page.get_by_text("checks missed")).to_have_count(0)


@pytest.mark.parametrize("query", ["", "?token=", "?token=unknown"])
def test_an_unknown_link_gets_a_kind_page(page, served, query):
    page.goto(f"{served.server.url}/{query}")
    expect(page.get_by_role("heading", name="This link does not open a study")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)


def test_german_texts_own_texts_and_other_keys(page, german):
    page.goto(german.link())
    expect(page.locator("html")).to_have_attribute("lang", "de")
    for heading in ("Bevor es losgeht", "Was Sie tun werden", "Ein Blick auf Ihren Bildschirm"):
        page.get_by_role("heading", name=heading).wait_for()
        press_enter(page)
    for part in (1, 2):
        page.get_by_role("heading", name=f"Teil {part} von 2").wait_for()
        press_enter(page)
        buttons = page.get_by_role("group", name="Ihre Wahl").get_by_role("button")
        expect(buttons.first).to_be_enabled()
        faces = [text.split("\n") for text in buttons.all_inner_texts()]
        assert faces[0] == ["J", "Links"]
        assert faces[-1] == ["Rechts", "Leertaste"]
        page.keyboard.press("ArrowLeft")  # not a key of this study
        page.keyboard.press("J")
        page.get_by_role("button", name="Weiter").wait_for()
        press_enter(page)
        page.get_by_role("heading", name="Das war die Übung").wait_for()
        press_enter(page)
        expect(buttons.first).to_be_enabled()
        page.keyboard.press("Space")
    expect(page.get_by_role("heading", name="Danke <b>sehr</b>")).to_be_visible()
    [people] = [row for row in german.store.annotators().itertuples() if row.n_votes]
    assert german.choices(people.annotator_id) == ["right", "right"]
