"""An annotator's whole journey in a real Chromium: keys, mouse, reload, crash, narrow window."""

import shutil
import sqlite3

import pytest
from playwright.sync_api import expect, sync_playwright

from evalkit.collection import invite
from evalkit.store import open_store
from tests.study_factory import NOW, make_study
from tests.study_server import StudyServer

pytestmark = pytest.mark.browser

WIDE = {"width": 1280, "height": 720}
PRESSED = {"ArrowLeft": "left", "ArrowRight": "right", "ArrowDown": "tie", "b": "both_bad"}
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium():
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail("no Chromium on this machine; install one with: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = make_study(
        tmp_path_factory.mktemp("browser") / "study",
        n_prompts=6,
        viewing_size=512,
        votes_per_pair=9,
        trials_per_annotator=12,
        min_viewing_ms=200,
    )
    links = invite(folder, 12, NOW, "http://localhost")
    server = StudyServer(folder.store_file, folder.blinded)
    server.links = iter(links)
    yield server
    server.kill()


@pytest.fixture
def link(server):
    return f"{server.url}/?{next(server.links).partition('?')[2]}"


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport=WIDE)
    page = context.new_page()
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    yield page
    context.close()


class Store:
    """What the database holds for the annotator of a link."""

    def __init__(self, server, link):
        self.store = open_store(server.store_path)
        token = link.partition("token=")[2]
        self.annotator_id = self.store.annotator(token).annotator_id

    def choices(self):
        trials = self.store.trials().merge(self.store.votes(), on="trial_id")
        mine = trials[trials["annotator_id"] == self.annotator_id]
        return mine.sort_values("position")["choice"].tolist()

    def shortest_ms(self):
        trials = self.store.trials().merge(self.store.votes(), on="trial_id")
        return trials.loc[trials["annotator_id"] == self.annotator_id, "response_ms"].min()

    def open_trial(self):
        trials = self.store.trials()
        voted = trials["trial_id"].isin(self.store.votes()["trial_id"])
        mine = trials[(trials["annotator_id"] == self.annotator_id) & ~voted]
        return mine["trial_id"].item()


@pytest.fixture
def stored(server, link):
    stored = Store(server, link)
    yield stored
    stored.store.close()


def begin(page, link):
    page.goto(link)
    page.get_by_role("button", name="I agree, begin").click()
    expect(page.get_by_role("heading", name="Part 1 of 2")).to_be_visible()
    page.get_by_role("button", name="Continue").click()


def wait_until_votable(page, done):
    expect(page.get_by_text(f"{done} of 12 answered")).to_be_visible()
    expect(page.get_by_role("button", name="Left")).to_be_enabled()


def press(page, key, done):
    wait_until_votable(page, done)
    page.keyboard.press(key)


def images(page):
    return [page.get_by_role("img", name=f"{side} image") for side in ("Left", "Right")]


def pixels(page):
    return [image.screenshot() for image in images(page)]


def test_from_link_to_thanks(page, link, stored):
    outside, heard = [], []
    page.on("request", lambda request: outside.append(request.url))
    page.on("response", lambda response: heard.append(response))
    begin(page, link)
    keys = ["ArrowLeft", "ArrowRight", "ArrowDown", "b"]
    for done, key in enumerate(keys):
        press(page, key, done)
    wait_until_votable(page, 4)
    page.get_by_role("button", name="Right").click()
    pressed = [*(PRESSED[key] for key in keys), "right"]

    wait_until_votable(page, 5)
    trial_id, shown = stored.open_trial(), pixels(page)
    quality = [r.text() for r in heard if r.url.endswith(("/session", "/vote"))]
    page.reload()
    wait_until_votable(page, 5)
    assert stored.open_trial() == trial_id
    assert pixels(page) == shown
    assert stored.choices() == pressed

    press(page, "ArrowLeft", 5)
    pressed.append("left")
    expect(page.get_by_role("heading", name="Part 2 of 2")).to_be_visible()
    assert page.get_by_text("Which image shows the description better?").count() >= 1
    page.keyboard.press("Enter")
    for done in range(6, 12):
        wait_until_votable(page, done)
        expect(page.get_by_label("Description")).to_contain_text("by lake")
        expect(page.get_by_role("button", name="Both are bad")).to_have_count(0)
        page.keyboard.press("b")  # this question does not offer it
        page.keyboard.press("ArrowRight")
        pressed.append("right")
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert stored.choices() == pressed
    assert stored.shortest_ms() >= 200
    assert all("by lake" not in text for text in quality)
    assert all(url.startswith(("http://localhost", "blob:", "data:")) for url in outside)

    page.reload()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()


def test_the_trial_fits_the_window_and_nothing_moves(page, link):
    begin(page, link)
    places = set()
    for done in range(3):
        wait_until_votable(page, done)
        boxes = [image.bounding_box() for image in images(page)]
        assert [(box["width"], box["height"]) for box in boxes] == [(512, 512)] * 2
        buttons = page.get_by_role("group", name="Your choice").get_by_role("button").all()
        boxes += [button.bounding_box() for button in buttons]
        places.add(tuple((box["x"], box["y"], box["width"], box["height"]) for box in boxes))
        assert all(box["y"] + box["height"] <= WIDE["height"] for box in boxes)
        page.keyboard.press("ArrowLeft")
    assert len(places) == 1
    wait_until_votable(page, 3)
    session = page.locator(".session")
    assert session.evaluate("s => s.scrollHeight <= s.clientHeight")
    assert session.evaluate("s => s.scrollWidth <= s.clientWidth")


def test_roles_and_labels_tell_the_page_without_sight(page, link):
    begin(page, link)
    wait_until_votable(page, 0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Which image looks better made?")
    group = page.get_by_role("group", name="Your choice")
    names = group.get_by_role("button").all_inner_texts()
    assert [name.split("\n") for name in names] == [
        ["←", "Left"],
        ["↓", "No difference"],
        ["B", "Both are bad"],
        ["Right", "→"],
    ]
    shortcuts = [
        button.get_attribute("aria-keyshortcuts") for button in group.get_by_role("button").all()
    ]
    assert shortcuts == ["ArrowLeft", "ArrowDown", "b", "ArrowRight"]
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuemax", "12")
    expect(page.locator(".announcement")).to_have_text(
        "Pair 1 of 12. Which image looks better made?"
    )
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Left")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 of 12 answered")).to_be_visible()


def test_mashed_keys_vote_once_and_only_on_what_was_seen(page, link, stored):
    begin(page, link)
    wait_until_votable(page, 0)
    page.evaluate(
        "for (let i = 0; i < 12; i += 1)"
        " window.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft' }))"
    )
    wait_until_votable(page, 1)
    assert stored.choices() == ["left"]


def test_no_vote_while_an_image_is_missing(page, link, stored):
    page.route("**/image/*/right", lambda route: route.abort())
    page.goto(link)
    page.get_by_role("button", name="I agree, begin").click()
    expect(page.get_by_text("An image is slow to arrive")).to_have_count(1)
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="Left")).not_to_be_visible()
    assert stored.choices() == []
    page.unroute("**/image/*/right")
    page.get_by_role("button", name="Continue").click()
    press(page, "ArrowRight", 0)
    wait_until_votable(page, 1)
    assert stored.choices() == ["right"]


def test_a_vote_pressed_while_the_server_is_down_arrives_later(page, server, link, stored):
    begin(page, link)
    press(page, "ArrowLeft", 0)
    wait_until_votable(page, 1)
    server.kill()
    page.get_by_test_id("stDialog").wait_for(state="attached")  # Streamlit notices, unseen
    page.get_by_role("button", name="No difference").click()
    expect(page.get_by_text("Your choice is kept")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert stored.choices() == ["left"]
    server.start()
    wait_until_votable(page, 2)
    assert stored.choices() == ["left", "tie"]
    press(page, "b", 2)
    wait_until_votable(page, 3)
    assert stored.choices() == ["left", "tie", "both_bad"]


def test_a_vote_in_the_outbox_survives_closing_the_page(page, server, link, stored):
    begin(page, link)
    wait_until_votable(page, 0)
    page.route("**/vote", lambda route: route.abort())
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Your choice is kept")).to_be_visible()
    again = page.context.new_page()
    page.close()
    again.goto(link)
    wait_until_votable(again, 1)
    assert stored.choices() == ["right"]


def test_a_second_window_learns_what_was_answered_in_the_first(page, link, stored):
    begin(page, link)
    wait_until_votable(page, 0)
    second = page.context.new_page()
    second.goto(link)
    wait_until_votable(second, 0)
    page.keyboard.press("ArrowLeft")
    wait_until_votable(page, 1)
    second.keyboard.press("ArrowRight")
    expect(second.get_by_text("answered this pair in another window")).to_be_visible()
    wait_until_votable(second, 1)
    assert stored.choices() == ["left"]


def test_a_narrow_window_is_told_so_and_goes_on_when_widened(page, server, link, stored):
    page.set_viewport_size({"width": 700, "height": 720})
    page.goto(link)
    expect(page.get_by_role("heading", name="Please make this window wider")).to_be_visible()
    expect(page.get_by_text("at least 1096 pixels wide; it is 700 now")).to_be_visible()
    page.set_viewport_size(WIDE)
    page.get_by_role("button", name="I agree, begin").click()
    page.get_by_role("button", name="Continue").click()
    wait_until_votable(page, 0)
    page.set_viewport_size({"width": 700, "height": 720})
    expect(page.get_by_role("heading", name="Please make this window wider")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.reload()
    expect(page.get_by_role("heading", name="Please make this window wider")).to_be_visible()
    assert stored.choices() == []
    page.set_viewport_size(WIDE)
    press(page, "ArrowLeft", 0)
    wait_until_votable(page, 1)
    assert stored.choices() == ["left"]
    with sqlite3.connect(server.store_path) as connection:
        windows = connection.execute(
            "SELECT viewport_width, viewport_height, pixel_ratio FROM sessions "
            "WHERE annotator_id = ? ORDER BY started_at",
            (stored.annotator_id,),
        ).fetchall()
    assert windows == [(1280, 720, 1.0), (700, 720, 1.0)]


@pytest.mark.parametrize("query", ["", "?token=", "?token=unknown"])
def test_an_unknown_link_gets_a_kind_page(page, server, query):
    page.goto(f"{server.url}/{query}")
    expect(page.get_by_role("heading", name="This link does not open a study")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)


def test_a_dark_system_theme_changes_nothing(chromium, link):
    context = chromium.new_context(viewport=WIDE, color_scheme="dark")
    page = context.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="Before you begin")).to_be_visible()
    ground = page.locator(".session").evaluate("s => getComputedStyle(s).backgroundColor")
    body = page.locator(".stApp").evaluate("s => getComputedStyle(s).backgroundColor")
    assert ground == body == "rgb(204, 204, 204)"
    context.close()
