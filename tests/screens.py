"""`python -m tests.screens FOLDER`: a picture of every screen of the page, 1280 x 720, as PNG."""

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests import browser
from tests.tour import STUDY, tour

_SETTLED_MS = 400  # transitions are over


def draw_screens(folder: Path) -> list[Path]:
    """Write NN-NAME.png for every screen of a tour, in its order; gives the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with (
        tempfile.TemporaryDirectory() as root,
        contextmanager(browser.chromium)() as chromium,
        contextmanager(browser.serve_scenes)(Path(root), **STUDY) as served,
    ):
        for number, (name, page) in enumerate(tour(chromium, served), start=1):
            page.wait_for_timeout(_SETTLED_MS)
            path = folder / f"{number:02d}-{name}.png"
            page.screenshot(path=path)
            written.append(path)
    return written


if __name__ == "__main__":
    for path in draw_screens(Path(sys.argv[1])):
        print(path)
