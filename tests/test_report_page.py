"""The report page in a real browser: no barrier, no request, no sideways scrolling; its print."""

import io
import re
from importlib.resources import files

import pytest
from playwright.sync_api import expect
from pypdf import PdfReader

from evalkit.lock import lock_hash
from evalkit.report import write_report
from tests import browser
from tests.report_study import write_metric_tables, write_study

pytestmark = pytest.mark.browser
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    models = {
        "stable-diffusion-3-5-large-turbo": "scenes-base",
        "deepfloyd-if-xl-with-upscaler": "scenes-lcm",
        "kandinsky-2-2-decoder-medium": "scenes-turbo",
        "sdxl": "scenes-lcm",
    }
    root = tmp_path_factory.mktemp("report")
    folder = write_study(
        root, simulated=True, n_prompts=6, models=models, categories=("Food & Beverage", "Arts")
    )
    write_metric_tables(folder)
    write_report(folder, "2025-01-02T10:00:00Z")
    return folder


def opened(chromium, folder, **context):
    page = browser.open_page(chromium, **context)
    page.goto((folder.report / "index.html").as_uri())
    return page


def barriers(page):
    """What axe-core finds: its rule and the elements, as text."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [f"{rule['id']}: {[node['html'][:120] for node in rule['nodes']]}" for rule in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_has_no_barrier(chromium, folder, scheme):
    page = opened(chromium, folder, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert barriers(page) == []
    page.locator("svg a").first.evaluate("(link) => link.removeAttribute('aria-label')")
    assert any("link-name" in rule for rule in barriers(page))  # so the look above could fail
    page.context.close()


def test_the_page_asks_for_nothing_but_itself(chromium, folder):
    page = browser.open_page(chromium)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folder.report / "index.html").as_uri())
    page.locator("#files").scroll_into_view_if_needed()
    assert asked == [(folder.report / "index.html").as_uri()]
    page.context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(chromium, folder, width):
    page = opened(chromium, folder, viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.context.close()


def test_the_keyboard_skips_to_the_answer_and_finds_the_bars(chromium, folder):
    page = opened(chromium, folder)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#answer"
    page.locator("svg a").first.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"#pairs\?question=quality&a="))
    page.context.close()


@pytest.mark.parametrize("form", ["A4", "Letter"])
def test_print_has_all_tables_and_the_lock_on_every_page(chromium, folder, form):
    page = opened(chromium, folder, color_scheme="dark")
    printed = PdfReader(io.BytesIO(page.pdf(format=form)))
    page.context.close()
    pages = [" ".join(sheet.extract_text().split()) for sheet in printed.pages]
    assert len(pages) > 4
    for number, text in enumerate(pages, start=1):
        assert f"lock {lock_hash(folder)}" in text
        assert "SIMULATED VOTES" in text
        assert f"{number} / {len(pages)}" in text
    whole = " ".join(pages)
    assert "Flag attention: missed more than a quarter" in whole  # in a table that is folded
    assert "Skip to the answer" not in whole
