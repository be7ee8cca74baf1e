"""A real Chromium, a served study, and what annotators do on the page: fixtures for the tests."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from evalkit.collection import invite
from evalkit.store import Store, open_store
from evalkit.study_folder import StudyFolder
from tests.scene_study import make_scene_study
from tests.study_factory import NOW
from tests.study_server import StudyServer

WIDE = {"width": 1280, "height": 720}
PRESSED = {"ArrowLeft": "left", "ArrowRight": "right", "ArrowDown": "tie", "b": "both_bad"}
DESIGN = {
    "votes_per_pair": 50,
    "trials_per_annotator": 20,
    "attention_share": 0.1,
    "repeat_share": 0.0,
    "min_viewing_ms": 200,
    "block_length": 5,
    "practice_trials": 1,
}
_PATIENCE_MS = 10_000
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> Iterator[Browser]:
    """The browser, while it is open; the test fails where the machine has none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail("no Chromium on this machine; install one with: apt-get install chromium")
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


def open_page(browser: Browser, **context: object) -> Page:
    """A page in a browser of its own, with nothing kept from others."""
    page = browser.new_context(**{"viewport": WIDE, **context}).new_page()
    page.set_default_timeout(_PATIENCE_MS)
    return page


@dataclass
class Served:
    """A study folder with its server and its vote database."""

    folder: StudyFolder
    server: StudyServer
    store: Store
    links: list[str] = field(default_factory=list)

    def link(self) -> str:
        """The link of somebody who was not here yet."""
        if not self.links:
            self.links = invite(self.folder, 10, NOW, "http://localhost")
        return f"{self.server.url}/?{self.links.pop().partition('?')[2]}"

    def annotator_id(self, link: str) -> str:
        """Who holds this personal link."""
        return self.store.annotator(link.partition("token=")[2]).annotator_id

    def votes(self, annotator_id: str) -> list[sqlite3.Row]:
        """The annotator's votes, corrections too, in order; practice left out."""
        with contextlib.closing(sqlite3.connect(self.folder.store_address)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(
                "SELECT votes.*, position FROM votes JOIN trials USING (trial_id)"
                " WHERE annotator_id = ? AND kind != 'practice' ORDER BY position, revision",
                (annotator_id,),
            ).fetchall()

    def choices(self, annotator_id: str) -> list[str]:
        """The first choice on each trial, in order; practice left out."""
        return [vote["choice"] for vote in self.votes(annotator_id) if vote["revision"] == 1]

    def open_trial(self, annotator_id: str) -> str:
        """The trial that is to be answered now."""
        trials = self.store.trials()
        voted = trials["trial_id"].isin(self.store.votes()["trial_id"])
        mine = trials[(trials["annotator_id"] == annotator_id) & ~voted]
        return mine.sort_values("position")["trial_id"].iloc[0]

    def events(self, annotator_id: str) -> list[str]:
        """What the log says of the annotator."""
        log = self.store.log()
        return log.loc[log["annotator_id"] == annotator_id, "event"].tolist()


def serve_scenes(root: Path, **study: object) -> Iterator[Served]:
    """A study of scenes (`tests.scene_study`), served while the caller goes on."""
    folder = make_scene_study(root / "study", **{"design": DESIGN, **study})
    links = invite(folder, 30, NOW, "http://localhost")
    server = StudyServer(folder.store_address, folder.blinded)
    store = open_store(folder.store_address)
    yield Served(folder, server, store, links)
    store.close()
    server.kill()


def begin(page: Page, link: str) -> None:
    """From the link to the card before the first pair that counts is gone."""
    agree(page, link)
    press_enter(page)
    practise(page)


def agree(page: Page, link: str) -> None:
    """Open the link, agree, read the instructions, look at the screen; up to the first part."""
    page.goto(link)
    page.get_by_role("button", name="I agree, begin").click()
    page.get_by_role("heading", name="What you will do").wait_for()
    press_enter(page)
    page.get_by_role("heading", name="A look at your screen").wait_for()
    press_enter(page)
    page.get_by_role("heading", name="Part 1 of 2").wait_for()


def practise(page: Page) -> None:
    """Answer the one practice pair and go on to those that count."""
    expect(page.get_by_text("Practice, does not count")).to_be_visible()
    vote(page, "ArrowLeft")
    page.get_by_role("button", name="Next").wait_for()
    press_enter(page)
    page.get_by_role("heading", name="That was the practice").wait_for()
    press_enter(page)


def press_enter(page: Page) -> None:
    """Press the one button of a card or of a feedback by its key."""
    page.keyboard.press("Enter")


def wait_until_votable(page: Page) -> None:
    """The choices can be pressed."""
    expect(page.get_by_role("button", name="Left", exact=True)).to_be_enabled()


def vote(page: Page, key: str) -> None:
    """Wait for the pair, then press the key; returns when the pair no longer takes votes."""
    wait_until_votable(page)
    page.keyboard.press(key)


def answered(page: Page, done: int, total: int, block: int = 1) -> None:
    """Wait until the page counts so many acknowledged answers in the block."""
    expect(page.get_by_text(f"{done} of {total}, block {block} of")).to_be_visible()


def images(page: Page) -> list:
    """Both images of the pair."""
    return [page.get_by_role("img", name=f"{side} image") for side in ("Left", "Right")]


def nothing_free(route: Route) -> None:
    """Answer the start of a sitting as if all pairs were with others."""
    answer = route.fetch()
    begun = {name: answer.json()[name] for name in ("session_id", "settings")}
    route.fulfill(response=answer, json={**begun, "stage": "wait"})
