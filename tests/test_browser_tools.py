"""What helps to judge on the page: undo, zoom, flip, reasons, breaks, a window wide enough."""

import pytest
from playwright.sync_api import expect

from tests.browser import (
    WIDE,
    agree,
    answered,
    begin,
    images,
    open_page,
    press_enter,
    serve_scenes,
    vote,
    wait_until_votable,
)

pytestmark = pytest.mark.browser
NARROW = {"width": 700, "height": 720}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    session = {"reasons": True, "break_minutes": 5}
    yield from serve_scenes(tmp_path_factory.mktemp("browser"), session=session)


def test_undo_is_recorded_as_a_second_revision(page, served, link):
    begin(page, link)
    wait_until_votable(page)
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    first = [image.screenshot() for image in images(page)]
    vote(page, "ArrowLeft")
    answered(page, 1, 5)
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Your last answer. Choose again")).to_be_visible()
    chosen = page.get_by_role("button", name="Left", pressed=True)
    expect(chosen).to_be_visible()
    assert [image.screenshot() for image in images(page)] == first
    vote(page, "ArrowRight")
    expect(page.get_by_text("Your last answer. Choose again")).to_have_count(0)
    wait_until_votable(page)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Right", pressed=True)).to_be_visible()
    page.keyboard.press("Escape")  # leaves it as it was
    expect(page.get_by_role("button", name="Right", pressed=True)).to_have_count(0)
    vote(page, "ArrowDown")
    answered(page, 2, 5)
    votes = served.votes(served.annotator_id(link))
    told = [(vote["position"], vote["revision"], vote["choice"]) for vote in votes]
    start = votes[0]["position"]
    assert told == [(start, 1, "left"), (start, 2, "right"), (start + 1, 1, "tie")]


def test_undo_reaches_back_over_a_pause(page, served, link):
    begin(page, link)
    for _ in range(5):
        vote(page, "ArrowLeft")
        page.wait_for_timeout(100)
    page.get_by_role("heading", name="Block 2 of 2").wait_for()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Left", pressed=True)).to_be_visible()
    vote(page, "ArrowRight")
    page.get_by_role("heading", name="Block 2 of 2").wait_for()
    press_enter(page)
    answered(page, 0, 5, block=2)
    wait_until_votable(page)
    votes = served.votes(served.annotator_id(link))
    assert [vote["choice"] for vote in votes] == ["left"] * 5 + ["right"]
    assert votes[-1]["revision"] == 2


def test_zoom_shows_the_same_cut_of_both_and_ends_with_the_pair(page, link):
    begin(page, link)
    wait_until_votable(page)
    page.keyboard.press("z")
    expect(page.get_by_role("button", name="Zoom 2")).to_be_visible()
    box = images(page)[0].bounding_box()
    assert box["width"] == 1024
    frame = page.locator(".trial .frame").first.bounding_box()
    page.mouse.move(frame["x"] + 128, frame["y"] + 384)
    assert _cuts(page) == ["25% 75%", "25% 75%"]
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert _cuts(page) == ["37% 63%", "37% 63%"]
    page.get_by_role("button", name="Zoom 2").click()
    assert images(page)[1].bounding_box()["width"] == 3 * 512
    vote(page, "ArrowLeft")
    answered(page, 1, 5)
    expect(page.get_by_role("button", name="Zoom 1")).to_be_visible()
    assert images(page)[0].bounding_box()["width"] == 512


def _cuts(page):
    shares = "i => i.style.getPropertyValue('--look') || getComputedStyle(i.parentNode)"
    return page.locator(".trial .frame img").evaluate_all(
        f"all => all.map((one) => ({shares})(one.closest('.images')))"
    )


def test_flip_shows_one_side_at_a_time_in_one_place(page, served, link):
    begin(page, link)
    wait_until_votable(page)
    left, right = images(page)
    pictures = [image.screenshot() for image in (left, right)]
    page.keyboard.press("f")
    expect(page.locator(".side.left")).to_be_visible()
    expect(right).to_have_count(0)  # hidden from screen readers too
    place = left.bounding_box()
    assert place["x"] + place["width"] / 2 == WIDE["width"] / 2
    assert left.screenshot() == pictures[0]
    page.get_by_role("button", name="Flip").click()
    expect(page.locator(".side.right")).to_be_visible()
    assert right.bounding_box() == place
    assert right.screenshot() == pictures[1]
    page.keyboard.press("Escape")
    expect(left).to_be_visible()
    page.keyboard.press("f")
    vote(page, "ArrowDown")
    answered(page, 1, 5)
    expect(left).to_be_visible()
    expect(right).to_be_visible()
    assert served.choices(served.annotator_id(link)) == ["tie"]


def test_a_reason_goes_with_the_vote_and_its_letters_never_vote(page, served, link):
    begin(page, link)
    wait_until_votable(page)
    page.keyboard.press("r")
    page.keyboard.type("bf zr <b>sharp</b>")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("Reason")).to_have_value("bf zr <b>sharp</b>")
    page.keyboard.press("Enter")
    vote(page, "ArrowRight")
    answered(page, 1, 5)
    expect(page.get_by_label("Reason")).to_have_value("")
    vote(page, "ArrowLeft")
    answered(page, 2, 5)
    votes = served.votes(served.annotator_id(link))
    told = [(vote["choice"], vote["reason"]) for vote in votes]
    assert told == [("right", "bf zr <b>sharp</b>"), ("left", "")]


def test_a_break_is_offered_after_its_minutes_and_time_left_is_said(page, link):
    page.clock.install()
    begin(page, link)
    for done in range(2):
        vote(page, "ArrowLeft")
        answered(page, done + 1, 5)
    wait_until_votable(page)
    page.clock.fast_forward(6 * 60_000)
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="Time for a short break?")).to_be_visible()
    expect(page.get_by_text("You have been at it for 6 minutes")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    press_enter(page)
    answered(page, 3, 5)
    for _ in range(2):
        vote(page, "ArrowLeft")
        page.wait_for_timeout(100)
    page.get_by_role("heading", name="Block 2 of 2").wait_for()
    press_enter(page)
    expect(page.locator(".time-left")).to_have_text("")
    for done in range(4):
        wait_until_votable(page)
        page.clock.fast_forward(24_000)
        page.keyboard.press("ArrowLeft")
        answered(page, done + 1, 5, block=2)
    # Of nine answers four took a moment, one 6 minutes and four 24 s: 24 s is the middle one.
    # 11 of 20 pairs are left: 264 s.
    expect(page.locator(".time-left")).to_have_text("about 4 minutes left")


def test_a_narrow_window_is_told_so_recorded_and_goes_on_when_widened(page, served, link):
    narrow = page.get_by_role("heading", name="Please make this window wider")
    page.set_viewport_size(NARROW)
    page.goto(link)
    expect(narrow).to_be_visible()
    expect(page.get_by_text("at least 1096 pixels wide; it is 700 now")).to_be_visible()
    page.set_viewport_size(WIDE)
    begin(page, served.server.url)
    wait_until_votable(page)
    page.set_viewport_size(NARROW)
    expect(narrow).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.set_viewport_size({"width": 800, "height": 720})
    expect(page.get_by_text("it is 800 now")).to_be_visible()
    page.set_viewport_size(WIDE)
    vote(page, "ArrowRight")
    answered(page, 1, 5)
    annotator_id = served.annotator_id(link)
    assert served.choices(annotator_id) == ["right"]
    changes = [event for event in served.events(annotator_id) if event in ("narrow", "wide")]
    assert changes == ["narrow", "wide", "narrow", "wide"]


def test_the_screen_is_looked_at_before_the_first_pair(chromium, link):
    page = open_page(chromium, viewport={"width": 1150, "height": 640}, device_scale_factor=1.25)
    page.goto(link)
    page.get_by_role("button", name="I agree, begin").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Your window is 1150 pixels wide")).to_be_visible()
    expect(page.get_by_text("shown a little smaller")).to_be_visible()
    expect(page.get_by_text("draws everything at 125 %")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Part 1 of 2")).to_be_visible()
    page.context.close()


def test_reduced_motion_is_respected(chromium, served, link):
    page = open_page(chromium, reduced_motion="reduce")
    agree(page, link)
    moving = page.locator(".session *").evaluate_all(
        "all => all.filter((one) => getComputedStyle(one).transitionDuration !== '0s'"
        " || getComputedStyle(one).animationName !== 'none').length"
    )
    assert moving == 0
    page.context.close()
