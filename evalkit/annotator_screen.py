"""A picture of what annotators see in a study, by a real browser: one trial of a rehearsal."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.collection import open_collection
from evalkit.errors import EvalkitError, StudyError, first_line
from evalkit.files import write_bytes
from evalkit.leaks.rehearsed_app import rehearsed_app
from evalkit.study_folder import StudyFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page, Playwright, PlaywrightContextManager

_WINDOW = {"width": 1280, "height": 720}  # px, as most screens are at least
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")  # else the one of Playwright
_MOST_PRESSES = 40  # of cards before the first trial; there are four of them
_NEXT_MS = 250  # for the next card to come
_PATIENCE_MS = 10_000
_TRIAL = ".session[data-screen=trial] .choices button:enabled"
_CARD = ".session[data-screen=card] .card .primary"


def photograph(folder: StudyFolder, now: str) -> Path:
    """Write annotator-screen.png into the study folder: its first trial that counts, 1280 x 720.

    The page is served from a temporary copy of the plan, as in the leak check: no vote is given.
    EvalkitError where Playwright or a browser is missing, StudyError where the page shows no trial.
    """
    sync_playwright = _playwright(folder)
    with (
        closing(open_collection(folder, now)) as store,
        rehearsed_app(folder, store.pairs(), now, main_only=True) as (port, token),
        sync_playwright() as playwright,
    ):
        browser = _launched(playwright, folder)
        page = browser.new_page(viewport=_WINDOW)
        page.set_default_timeout(_PATIENCE_MS)
        page.goto(f"http://127.0.0.1:{port}/?token={token}")
        _reach_trial(page, folder)
        picture = page.screenshot(animations="disabled")
        browser.close()
    write_bytes(folder.screen_file, picture)
    return folder.screen_file


def _playwright(folder: StudyFolder) -> "Callable[[], PlaywrightContextManager]":
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise EvalkitError(_missing(folder, "Playwright, which is not installed")) from None
    return sync_playwright


def _launched(playwright: "Playwright", folder: StudyFolder) -> "Browser":
    from playwright.sync_api import Error

    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    try:
        return playwright.chromium.launch(executable_path=found)
    except Error as error:
        raise EvalkitError(
            _missing(folder, f"a browser that starts ({first_line(error)})")
        ) from None


def _missing(folder: StudyFolder, what: str) -> str:
    return (
        f"screen: a picture needs {what}; run: pip install playwright && playwright install "
        f"chromium, or save a picture of your own as {folder.screen_file}"
    )


def _reach_trial(page: "Page", folder: StudyFolder) -> None:
    """Press the button of each card until a trial takes answers."""
    from playwright.sync_api import Error

    found = "no card and no pair"
    try:
        for _ in range(_MOST_PRESSES):
            page.wait_for_selector(f"{_TRIAL}, {_CARD}")
            if page.is_visible(_TRIAL):
                return
            found = page.text_content(".card h1") or "a card"
            page.click(_CARD)
            page.wait_for_timeout(_NEXT_MS)
    except Error as error:
        found = first_line(error)
    raise StudyError(
        f"{folder.root}: the page comes to no trial ({found}); see it with: evalkit serve "
        f"{folder.root}"
    )
