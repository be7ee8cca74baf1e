"""Votes of the page cannot be lost or doubled: offline, reload, two tabs, a server that dies."""

import pytest
from playwright.sync_api import expect

from tests.browser import (
    agree,
    answered,
    begin,
    images,
    press_enter,
    serve_scenes,
    vote,
    wait_until_votable,
)

pytestmark = pytest.mark.browser

_FILL_THE_STORAGE = """() => {
  for (let size = 2 ** 23; size >= 1; size /= 2) {
    try {
      for (let n = 0; ; n += 1) localStorage.setItem(`${size}-${n}`, "x".repeat(size));
    } catch {} // full for pieces of this size
  }
}"""
_OUTBOXES = """() => Object.keys(localStorage)
  .filter((name) => name.startsWith("evalkit-outbox-"))
  .map((name) => JSON.parse(localStorage.getItem(name)))"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    yield from serve_scenes(tmp_path_factory.mktemp("browser"))


def test_mashed_and_held_keys_vote_once_and_only_on_what_was_seen(page, served, link):
    begin(page, link)
    wait_until_votable(page)
    page.evaluate(
        "for (let i = 0; i < 12; i += 1)"
        " window.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft' }))"
    )
    answered(page, 1, 5)
    wait_until_votable(page)
    page.keyboard.down("ArrowRight")
    answered(page, 2, 5)
    wait_until_votable(page)
    for _ in range(5):
        page.keyboard.down("ArrowRight")  # the same key again: a repeat
    page.keyboard.up("ArrowRight")
    wait_until_votable(page)
    assert served.choices(served.annotator_id(link)) == ["left", "right"]


def test_no_vote_while_an_image_is_missing(page, served, link):
    page.route("**/study/image/*/right", lambda route: route.fulfill(body=b"no image"))
    agree(page, link)
    press_enter(page)
    expect(page.get_by_text("An image is slow to arrive")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="Left", exact=True)).to_have_count(0)
    assert served.store.votes().empty or not served.choices(served.annotator_id(link))
    page.unroute("**/study/image/*/right")
    wait_until_votable(page)
    expect(page.get_by_text("An image is slow to arrive")).to_have_count(0)
    assert "image_failed" in served.events(served.annotator_id(link))


def test_a_reload_shows_the_same_pair_and_no_pause_again(page, served, link):
    begin(page, link)
    vote(page, "ArrowLeft")
    answered(page, 1, 5)
    wait_until_votable(page)
    trial_id = served.open_trial(served.annotator_id(link))
    shown = [image.screenshot() for image in images(page)]
    page.reload()
    wait_until_votable(page)
    answered(page, 1, 5)
    assert served.open_trial(served.annotator_id(link)) == trial_id
    assert [image.screenshot() for image in images(page)] == shown


def test_offline_the_page_goes_on_while_it_has_pairs_then_waits_and_sends(page, served, link):
    annotator_id = served.annotator_id(link)
    begin(page, link)
    vote(page, "ArrowLeft")
    answered(page, 1, 5)
    page.wait_for_timeout(1000)  # time to load ahead
    page.context.set_offline(True)
    for key in ("ArrowRight", "ArrowDown", "b"):
        vote(page, key)
    expect(page.get_by_role("heading", name="One moment, please")).to_be_visible()
    expect(page.get_by_text("Your last answers are kept in this browser")).to_be_visible()
    answered(page, 1, 5)  # only what was acknowledged is counted
    assert served.choices(annotator_id) == ["left"]
    page.context.set_offline(False)
    answered(page, 4, 5)
    wait_until_votable(page)
    assert served.choices(annotator_id) == ["left", "right", "tie", "both_bad"]


def test_votes_in_the_outbox_survive_closing_the_page(page, served, link):
    begin(page, link)
    wait_until_votable(page)
    page.route("**/study/vote", lambda route: route.abort())
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Your answers are kept")).to_be_visible()
    again = page.context.new_page()
    page.close()
    posts = []
    again.on("request", lambda sent: sent.method == "POST" and posts.append(sent.url))
    again.goto(served.server.url)  # the cookie is enough
    answered(again, 1, 5)
    assert served.choices(served.annotator_id(link)) == ["right"]
    # The vote goes before its trial could be lent to somebody else.
    assert [url.rpartition("/")[2] for url in posts[:2]] == ["vote", "session"]


def test_votes_for_which_the_browser_has_no_room_are_kept_in_the_page_and_sent(page, served, link):
    begin(page, link)
    vote(page, "ArrowLeft")
    answered(page, 1, 5)
    page.evaluate(_FILL_THE_STORAGE)
    page.route("**/study/vote", lambda route: route.abort())
    vote(page, "ArrowRight")
    expect(page.get_by_text("Your answers are kept")).to_be_visible()
    vote(page, "ArrowDown")
    page.unroute("**/study/vote")
    answered(page, 3, 5)
    assert served.choices(served.annotator_id(link)) == ["left", "right", "tie"]


def test_a_vote_that_was_stored_goes_first_and_once_where_the_room_ends_after_it(
    page, served, link
):
    begin(page, link)
    wait_until_votable(page)
    page.route("**/study/vote", lambda route: route.abort())
    vote(page, "ArrowLeft")
    vote(page, "ArrowRight")
    page.evaluate(_FILL_THE_STORAGE)
    vote(page, "ArrowDown")
    sent = []
    page.on("response", lambda got: got.url.endswith("/vote") and sent.append(got.status))
    page.unroute("**/study/vote")
    answered(page, 3, 5)
    assert served.choices(served.annotator_id(link)) == ["left", "right", "tie"]
    assert sent.count(200) == 3
    assert page.evaluate(_OUTBOXES) == [[]]


def test_a_vote_pressed_while_the_server_is_down_arrives_when_it_is_back(page, served, link):
    annotator_id = served.annotator_id(link)
    begin(page, link)
    vote(page, "ArrowLeft")
    answered(page, 1, 5)
    wait_until_votable(page)
    served.server.kill()
    page.get_by_test_id("stDialog").wait_for(state="attached")  # Streamlit notices, unseen
    page.get_by_role("button", name="No difference").click()
    expect(page.get_by_text("No connection just now")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert served.choices(annotator_id) == ["left"]
    served.server.start()
    answered(page, 2, 5)
    vote(page, "b")
    answered(page, 3, 5)
    assert served.choices(annotator_id) == ["left", "tie", "both_bad"]


def test_a_busy_server_is_asked_again_until_it_answers(page, served, link):
    begin(page, link)
    refusals = iter([503, 429, 425])

    def refuse(route):
        status = next(refusals, None)
        if status is None:
            return route.continue_()
        headers = {"Retry-After": "1"} if status == 429 else {}
        return route.fulfill(status=status, json={"error": "not now"}, headers=headers)

    page.route("**/study/vote", refuse)
    vote(page, "ArrowLeft")
    answered(page, 1, 5)
    assert served.choices(served.annotator_id(link)) == ["left"]


def test_a_vote_that_cannot_stand_is_said_to_be(page, served, link):
    begin(page, link)
    wait_until_votable(page)
    refused = []

    def refuse_once(route):
        if refused:
            return route.continue_()
        refused.append(route.request.post_data_json["trial_id"])
        return route.fulfill(status=409, json={"error": "not possible now"})

    page.route("**/study/vote", refuse_once)
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("could not be counted")).to_be_visible()
    answered(page, 0, 5)
    vote(page, "ArrowRight")
    answered(page, 1, 5)
    expect(page.get_by_text("could not be counted")).to_have_count(0)
    assert served.choices(served.annotator_id(link)) == ["right"]


def test_a_vote_waits_for_its_owner_when_somebody_else_opens_their_link(page, served, link):
    begin(page, link)
    wait_until_votable(page)
    other = page.context.new_page()
    other_link = served.link()
    other.goto(other_link)
    other.get_by_role("heading", name="Before you begin").wait_for()
    page.bring_to_front()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Before you begin")).to_be_visible()
    assert served.choices(served.annotator_id(link)) == []
    page.goto(link)
    answered(page, 1, 5)
    assert served.choices(served.annotator_id(link)) == ["right"]
    assert served.choices(served.annotator_id(other_link)) == []


def test_a_second_tab_shows_the_same_pair_and_learns_what_was_answered(page, served, link):
    begin(page, link)
    wait_until_votable(page)
    second = page.context.new_page()
    second.set_default_timeout(10_000)
    second.goto(served.server.url)
    wait_until_votable(second)
    same = [image.screenshot() for image in images(page)]
    assert [image.screenshot() for image in images(second)] == same
    page.bring_to_front()
    page.keyboard.press("ArrowLeft")
    answered(page, 1, 5)
    second.bring_to_front()
    second.keyboard.press("ArrowRight")
    expect(second.get_by_text("answered that pair in another window")).to_be_visible()
    answered(second, 1, 5)
    assert served.choices(served.annotator_id(link)) == ["left"]
