"""An annotator's whole journey in a real Chromium, by keys and by mouse."""

import pytest
from playwright.sync_api import expect

from tests.browser import (
    PRESSED,
    WIDE,
    agree,
    answered,
    begin,
    images,
    open_page,
    practise,
    press_enter,
    serve_scenes,
    vote,
    wait_until_votable,
)
from tests.scene_study import ALIGNMENT, QUALITY

pytestmark = pytest.mark.browser


_NOTE_WHAT_IS_SHOWN_TWO_FRAMES_AFTER_A_KEY = """() => {
  const page = document.querySelector("[data-testid=stBidiComponentIsolated]").shadowRoot;
  const note = () => {
    const images = [...page.querySelectorAll(".trial .frame img")];
    window.shown = images.map(({ src, complete, naturalWidth: width }) => (
      { src, complete, width }));
  };
  const twoFramesLater = () => requestAnimationFrame(() => requestAnimationFrame(note));
  window.addEventListener("keydown", twoFramesLater, true);
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    yield from serve_scenes(tmp_path_factory.mktemp("browser"))


def test_from_link_to_thanks_by_keys(page, served, link):
    outside, heard = [], []
    page.on("request", lambda request: outside.append(request.url))
    page.on("response", lambda response: heard.append(response))
    annotator_id = served.annotator_id(link)
    agree(page, link)
    assert "token" not in page.url
    expect(page.get_by_text(QUALITY)).to_be_visible()
    press_enter(page)
    practise(page)
    quality = ["ArrowLeft", "ArrowRight", "ArrowDown", "b", "ArrowRight"]
    for done, key in enumerate(quality):
        answered(page, done, 5)
        vote(page, key)
    page.get_by_role("heading", name="Block 2 of 2").wait_for()
    page.keyboard.press("ArrowLeft")  # a pause takes no votes
    press_enter(page)
    for done in range(5):
        answered(page, done, 5, block=2)
        if done == 4:
            texts = [r.text() for r in heard if r.url.endswith(("session", "vote", "trials"))]
        vote(page, "ArrowLeft")
    prompts = served.folder.read_prompts()["prompt"]
    assert len(texts) > 10
    assert not [prompt for prompt in prompts if any(prompt in text for text in texts)]
    page.get_by_role("heading", name="Part 2 of 2").wait_for()
    expect(page.get_by_text(ALIGNMENT)).to_be_visible()
    press_enter(page)
    practise(page)
    for done in range(5):
        answered(page, done, 5)
        assert page.get_by_label("Description").inner_text() in set(prompts)
        expect(page.get_by_role("button", name="Both are bad")).to_have_count(0)
        wait_until_votable(page)
        page.keyboard.press("b")  # this question does not offer it
        vote(page, "ArrowRight")
    page.get_by_role("heading", name="Block 2 of 2").wait_for()
    press_enter(page)
    for _ in range(5):
        vote(page, "ArrowRight")
        page.wait_for_timeout(100)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()

    pressed = [PRESSED[key] for key in quality] + ["left"] * 5 + ["right"] * 10
    assert served.choices(annotator_id) == pressed
    assert min(v["response_ms"] for v in served.votes(annotator_id)) >= 200
    assert all(url.startswith((served.server.url, "blob:", "data:")) for url in outside)


def test_from_link_to_the_second_pair_by_mouse(page, served, link):
    annotator_id = served.annotator_id(link)
    page.goto(link)
    for name in ("I agree, begin", "Continue", "Go on", "Continue"):
        page.get_by_role("button", name=name).click()
    wait_until_votable(page)
    trial_id = served.open_trial(annotator_id)
    other = {"left": "Right", "right": "Left"}[served.store.expected_side(trial_id)]
    page.get_by_role("button", name=other, exact=True).click()
    expect(page.get_by_text("Not quite.", exact=True)).to_be_visible()
    expect(page.locator(".feedback")).to_contain_text("made coarse on purpose")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Begin").click()
    wait_until_votable(page)
    page.get_by_role("button", name="Both are bad").dblclick()
    answered(page, 1, 5)
    wait_until_votable(page)
    assert served.choices(annotator_id) == ["both_bad"]


def test_practice_says_when_it_was_right(page, served, link):
    agree(page, link)
    press_enter(page)
    wait_until_votable(page)
    trial_id = served.open_trial(served.annotator_id(link))
    right = {"left": "ArrowLeft", "right": "ArrowRight"}[served.store.expected_side(trial_id)]
    page.keyboard.press(right)
    expect(page.get_by_text("That is right.", exact=True)).to_be_visible()
    assert served.choices(served.annotator_id(link)) == []


def test_the_trial_fits_the_window_and_nothing_moves(page, link):
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => list.getEntries().forEach("
        "(entry) => { if (!entry.hadRecentInput) window.shift += entry.value; }))"
        ".observe({ type: 'layout-shift', buffered: true });"
    )
    begin(page, link)
    places = set()
    for done in range(3):
        answered(page, done, 5)
        wait_until_votable(page)
        if done == 0:
            page.evaluate("window.shift = 0")  # cards may come and go
        boxes = [image.bounding_box() for image in images(page)]
        assert [(box["width"], box["height"]) for box in boxes] == [(512, 512)] * 2
        assert boxes[0]["y"] == boxes[1]["y"]
        for group in ("Your choice", "Tools"):
            buttons = page.get_by_role("group", name=group).get_by_role("button").all()
            boxes += [button.bounding_box() for button in buttons]
        places.add(tuple((box["x"], box["y"], box["width"], box["height"]) for box in boxes))
        assert all(box["y"] + box["height"] <= WIDE["height"] for box in boxes)
        vote(page, "ArrowLeft")
    assert len(places) == 1
    answered(page, 3, 5)
    main = page.locator(".session .stage")
    assert main.evaluate("s => s.scrollHeight <= s.clientHeight && s.scrollWidth <= s.clientWidth")
    assert page.evaluate("window.shift") == 0


def test_the_next_pair_is_decoded_before_it_is_needed(page, link):
    begin(page, link)
    wait_until_votable(page)
    page.wait_for_timeout(800)  # time to load ahead
    page.route("**/study/**", lambda route: route.abort())
    before = page.locator(".trial .frame img").evaluate_all("all => all.map((one) => one.src)")
    page.evaluate(_NOTE_WHAT_IS_SHOWN_TWO_FRAMES_AFTER_A_KEY)
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)  # more than two frames
    shown = page.evaluate("window.shown")
    assert [image["width"] for image in shown if image["complete"]] == [512, 512]
    assert not {image["src"] for image in shown} & set(before)


def test_the_addresses_of_images_are_released(page, link):
    page.add_init_script(
        "window.held = new Set(); const make = URL.createObjectURL, free = URL.revokeObjectURL;"
        "URL.createObjectURL = (blob) => { const url = make.call(URL, blob);"
        " if (blob.type.startsWith('image/')) window.held.add(url); return url; };"
        "URL.revokeObjectURL = (url) => { window.held.delete(url); free.call(URL, url); };"
    )
    begin(page, link)
    vote(page, "ArrowLeft")
    answered(page, 1, 5)
    wait_until_votable(page)
    page.wait_for_timeout(500)
    assert page.evaluate("window.held.size") == 0


def test_roles_and_labels_tell_the_page_without_sight(page, link):
    begin(page, link)
    wait_until_votable(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(QUALITY)
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
    assert shortcuts == ["ArrowLeft", "ArrowDown", "B", "ArrowRight"]
    line = page.get_by_role("progressbar", name="Answered")
    expect(line).to_have_attribute("aria-valuemax", "20")
    expect(line).to_have_attribute("aria-valuetext", "0 of 20 answered")
    expect(page.locator(".announcement")).to_have_text(f"Pair 1 of 20. {QUALITY}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Left", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    answered(page, 1, 5)
    expect(page.locator(".announcement")).to_have_text(f"Pair 2 of 20. {QUALITY}")


def test_a_dark_system_theme_changes_nothing(chromium, link):
    pictures = []
    for scheme in ("light", "dark"):
        page = open_page(chromium, color_scheme=scheme)
        page.goto(link)
        page.get_by_role("heading", name="Before you begin").wait_for()
        page.wait_for_timeout(300)
        pictures.append(page.screenshot())
        ground = page.locator(".session").evaluate("s => getComputedStyle(s).backgroundColor")
        body = page.locator(".stApp").evaluate("s => getComputedStyle(s).backgroundColor")
        assert ground == body == "rgb(204, 204, 204)"
        page.context.close()
    assert pictures[0] == pictures[1]
