"""No barrier that axe-core knows stands on any screen of the page."""

from importlib.resources import files

import pytest

from tests import browser
from tests.browser import serve_scenes
from tests.tour import STUDY, tour

pytestmark = pytest.mark.browser
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
SCREENS = [
    "consent", "withdrawal", "instructions", "viewing", "part", "practice", "feedback",
    "practiced", "trial", "zoom", "flip", "reason", "undo", "narrow", "break", "block", "offline",
    "waiting", "second-part", "trial-with-description", "thanks", "withdrawn", "paused", "blocked",
    "unknown", "full", "wait",
]  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    yield from serve_scenes(tmp_path_factory.mktemp("tour"), **STUDY)


def barriers(page):
    """What axe-core finds: its rule and the elements, as text."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [f"{rule['id']}: {[node['html'][:120] for node in rule['nodes']]}" for rule in found]


def test_no_screen_has_a_barrier(chromium, served):
    found = {name: barriers(page) for name, page in tour(chromium, served)}
    assert list(found) == SCREENS
    assert {name: rules for name, rules in found.items() if rules} == {}


def test_axe_sees_into_the_page(chromium, served):
    """The test above could not fail if axe-core did not enter the component's shadow root."""
    page = browser.open_page(chromium)
    page.goto(served.link())
    page.get_by_role("heading", name="Before you begin").wait_for()
    page.locator(".primary").first.evaluate("button => (button.textContent = '')")
    assert any("button-name" in rule for rule in barriers(page))
    page.context.close()
