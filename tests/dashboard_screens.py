"""`python -m tests.dashboard_screens [FOLDER]`: pictures of the dashboard on a simulated study."""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

from evalkit.collection import open_collection
from evalkit.study_folder import StudyFolder
from tests import browser
from tests.dashboard_server import PASSWORD, DashboardServer
from tests.people import Person, after
from tests.study_factory import make_study

SIZE = {"width": 1440, "height": 960}
SCREENS = {
    "annotators": "Annotators", "pairs": "Pairs", "log": "Log", "controls": "Controls",
    "open-trials": "Open trials", "export": "Export",
}  # fmt: skip


def make_voted_study(root: Path, now: str) -> StudyFolder:
    """A study of three dozen simulated people over the last two hours; a few do not look."""
    folder = make_study(root, n_prompts=20, votes_per_pair=8, trials_per_annotator=40,
                        practice_trials=2, min_viewing_ms=500)  # fmt: skip
    file = root / "study.toml"
    file.write_text(file.read_text().replace('name = "factory"', 'name = "example-study"'))
    folder = StudyFolder(root)
    store = open_collection(folder, now)
    rng = np.random.default_rng(11)
    expected = store.checks().set_index("pair_id")["expected"].to_dict()
    for number in range(36):
        name = f"{rng.integers(2**62):016x}"
        if number % 9 == 8:
            store.add_annotator(name, f"token {number}", now)
            continue
        begun = float(rng.uniform(-110, -12)) if number % 5 else -5.0
        person = Person(store, folder.received, name, after(begun, now))
        _sit(person, rng, expected, number, now)
        if number == 3:
            store.block(name, "always the left image", now)
        if number == 10:
            store.withdraw(name, now)
    store.close()
    return folder


def _sit(
    person: Person, rng: np.random.Generator, expected: dict[str, str], number: int, now: str
) -> None:
    """Trials until they are done, their time is up, or they have had enough."""
    enough = int(rng.integers(20, 60))
    while len(person.answered) < enough and (trial := person.next_trial()) is not None:
        liked = expected.get(trial.pair_id, "ab"[int(trial.pair_id, 16) % 2])
        looks = rng.random() < 0.85
        side = "left" if (liked == trial.left) == looks else "right"
        tie = rng.random() < 0.1 and trial.pair_id not in expected
        ms = int(max(600, 2600 * np.exp(rng.normal(0, 0.4))))
        if number == 3:
            side, tie = "left", False
        if number == 7:
            side, tie, ms = str(rng.choice(["left", "right"])), False, 610
        ms = 15 * ms if number % 5 == 0 else ms
        if after(ms / 60_000, person.at) > now:
            return
        person.vote(1, "tie" if tie else side, ms)


def shoot(page: Page, folder: Path) -> None:
    """A picture of every section."""
    page.get_by_label("Password").wait_for()
    page.screenshot(path=folder / "dashboard-login.png")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    for name, tab in SCREENS.items():
        page.get_by_role("tab", name=tab, exact=True).click()
        page.wait_for_timeout(3000)  # tables and the chart draw themselves on a canvas
        page.screenshot(path=folder / f"dashboard-{name}.png")


def main() -> None:
    """Make the study in a folder for the moment, start the dashboard, take the pictures."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screens")
    out.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_voted_study(Path(scratch) / "study", now)
        server = DashboardServer(folder.root)
        try:
            for opened in browser.chromium():
                page = browser.open_page(opened, viewport=SIZE)
                page.goto(server.url)
                shoot(page, out)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
