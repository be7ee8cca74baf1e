"""Every screen of the page, one after another, as one annotator and a few others meet them."""

from collections.abc import Iterator

from playwright.sync_api import Browser, Page, expect

from evalkit.study_sections import Entry
from study_app.answers import utc_now
from tests.browser import (
    DESIGN,
    Served,
    answered,
    nothing_free,
    open_page,
    practise,
    press_enter,
    vote,
    wait_until_votable,
)
from tests.study_factory import NOW

STUDY = {  # what `tests.browser.serve_scenes` needs for a tour
    "design": {**DESIGN, "trials_per_annotator": 20},
    "session": {"reasons": True, "break_minutes": 10},
}
COMPLETION = Entry(
    completion_code="C1A2B3D4", return_url="https://app.prolific.com/submissions/complete"
)
MINUTE_MS = 60_000


def tour(chromium: Browser, served: Served) -> Iterator[tuple[str, Page]]:
    """Each screen's name, in the order in which they are met, with the page that shows it."""
    served.store.set_entry(COMPLETION)
    link = served.link()
    page = open_page(chromium)
    page.clock.install()
    yield from _beginning(page, served, link)
    yield from _judging(page)
    yield from _pauses(page)
    yield from _second_part(page, served)
    page.context.close()
    yield from _refusals(chromium, served, link)


def _beginning(page: Page, served: Served, link: str) -> Iterator[tuple[str, Page]]:
    page.goto(link)
    page.get_by_role("heading", name="Before you begin").wait_for()
    yield "consent", page
    page.get_by_role("button", name="Stop taking part").click()
    yield "withdrawal", page
    page.keyboard.press("Escape")
    page.get_by_role("button", name="I agree, begin").click()
    page.get_by_role("heading", name="What you will do").wait_for()
    expect(page.locator(".example img")).to_have_count(2)
    yield "instructions", page
    press_enter(page)
    page.get_by_role("heading", name="A look at your screen").wait_for()
    yield "viewing", page
    press_enter(page)
    page.get_by_role("heading", name="Part 1 of 2").wait_for()
    yield "part", page
    press_enter(page)
    wait_until_votable(page)
    yield "practice", page
    trial_id = served.open_trial(served.annotator_id(link))
    wrong = {"left": "ArrowRight", "right": "ArrowLeft"}[served.store.expected_side(trial_id)]
    page.keyboard.press(wrong)
    page.get_by_role("button", name="Next").wait_for()
    yield "feedback", page
    press_enter(page)
    page.get_by_role("heading", name="That was the practice").wait_for()
    yield "practiced", page
    press_enter(page)


def _judging(page: Page) -> Iterator[tuple[str, Page]]:
    wait_until_votable(page)
    yield "trial", page
    page.mouse.move(360, 420)
    page.keyboard.press("z")
    yield "zoom", page
    page.keyboard.press("z")
    page.keyboard.press("z")
    page.keyboard.press("f")
    yield "flip", page
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.keyboard.type("its edges are sharper")
    yield "reason", page
    press_enter(page)
    vote(page, "ArrowLeft")
    answered(page, 1, 5)
    wait_until_votable(page)
    page.keyboard.press("Backspace")
    wait_until_votable(page)
    yield "undo", page
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 900, "height": 720})
    yield "narrow", page
    page.set_viewport_size({"width": 1280, "height": 720})


def _pauses(page: Page) -> Iterator[tuple[str, Page]]:
    wait_until_votable(page)
    page.clock.fast_forward(12 * MINUTE_MS)
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="Time for a short break?").wait_for()
    yield "break", page
    press_enter(page)
    for _ in range(2, 5):
        vote(page, "ArrowRight")
    page.get_by_role("heading", name="Block 2 of 2").wait_for()
    answered(page, 0, 5, block=2)
    yield "block", page
    press_enter(page)
    for done in range(3):
        answered(page, done, 5, block=2)
        wait_until_votable(page)
        page.clock.fast_forward(20_000)
        vote(page, "ArrowRight")
    answered(page, 3, 5, block=2)
    page.wait_for_timeout(500)  # time to load ahead
    page.context.set_offline(True)
    vote(page, "ArrowRight")
    page.get_by_text("No connection just now").wait_for()
    wait_until_votable(page)
    yield "offline", page
    vote(page, "ArrowRight")
    page.get_by_role("heading", name="One moment, please").wait_for()
    yield "waiting", page
    page.context.set_offline(False)


def _second_part(page: Page, served: Served) -> Iterator[tuple[str, Page]]:
    page.get_by_role("heading", name="Part 2 of 2").wait_for()
    answered(page, 0, 5)
    yield "second-part", page
    press_enter(page)
    practise(page)
    answered(page, 0, 5)
    wait_until_votable(page)
    yield "trial-with-description", page
    for done in range(5):
        answered(page, done, 5)
        vote(page, "ArrowLeft")
    page.get_by_role("heading", name="Block 2 of 2").wait_for()
    press_enter(page)
    for done in range(5):
        answered(page, done, 5, block=2)
        vote(page, "ArrowLeft")
    page.get_by_role("heading", name="Thank you").wait_for()
    yield "thanks", page


def _refusals(chromium: Browser, served: Served, finished: str) -> Iterator[tuple[str, Page]]:
    page = open_page(chromium)
    page.goto(finished)
    page.get_by_role("button", name="Stop taking part").click()
    page.get_by_role("button", name="Stop and delete my answers").click()
    page.get_by_role("heading", name="Your answers are deleted").wait_for()
    yield "withdrawn", page
    served.store.pause("lunch", NOW)
    page.goto(served.link())
    page.get_by_role("heading", name="The study has a pause").wait_for()
    served.store.resume(NOW)
    yield "paused", page
    link = served.link()
    served.store.block(served.annotator_id(link), "checks missed", NOW)
    page.goto(link)
    page.get_by_role("heading", name="Your part ends here").wait_for()
    yield "blocked", page
    page.context.clear_cookies()
    page.goto(f"{served.server.url}/?token=unknown")
    page.get_by_role("heading", name="This link does not open a study").wait_for()
    yield "unknown", page
    served.store.set_entry(Entry(kind="prolific", limit=1, completion_code="C0DE"))
    served.store.admit("prolific", "first", "first", utc_now())
    served.store.consent("first", utc_now())
    page.goto(f"{served.server.url}/?PROLIFIC_PID=second&STUDY_ID=s&SESSION_ID=t")
    page.get_by_role("heading", name="All places are taken").wait_for()
    yield "full", page
    page.route("**/study/session", nothing_free)
    page.goto(served.link())
    page.get_by_role("heading", name="Just a moment, please").wait_for()
    yield "wait", page
    page.context.close()
