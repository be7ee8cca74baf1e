"""`evalkit screen`: a real browser shows a trial of the study, and no vote is given."""

import sys

import numpy as np
import pytest
from PIL import Image

from evalkit.annotator_screen import photograph
from evalkit.collection import open_collection
from evalkit.errors import EvalkitError
from evalkit.store import open_store
from tests.scene_study import make_scene_study
from tests.study_factory import NOW

SIDE = 480  # px of an image on the screen


def shows(screen: np.ndarray, left: int, image: np.ndarray) -> bool:
    """Whether the image stands somewhere at this place from the left, pixel by pixel."""
    strip = screen[:, left : left + SIDE]
    return any(
        np.array_equal(strip[top : top + SIDE], image) for top in range(len(screen) - SIDE + 1)
    )


@pytest.mark.browser
def test_the_picture_shows_a_trial_of_the_study_that_counts(tmp_path):
    folder = make_scene_study(tmp_path / "study", n_prompts=4)
    text = (folder.root / "study.toml").read_text("utf-8")
    (folder.root / "study.toml").write_text(
        text.replace("viewing_size = 512", "viewing_size = 480")
    )
    folder = type(folder)(folder.root)
    path = photograph(folder, NOW)
    assert path == folder.root / "annotator-screen.png"
    with Image.open(path) as opened:
        assert opened.size == (1280, 720)
        screen = np.asarray(opened.convert("RGB"))
    store = open_store(folder.store_address)
    pairs = store.pairs()
    public = {
        name: np.asarray(Image.open(folder.blinded / name).convert("RGB"))
        for name in {*pairs["file_a"], *pairs["file_b"]}
    }
    middle, gap = 640, 12
    sides = [
        {name for name, image in public.items() if shows(screen, left, image)}
        for left in (middle - gap - SIDE, middle + gap)
    ]
    main = pairs[pairs["role"] == "main"]
    asked = {frozenset(pair) for pair in zip(main["file_a"], main["file_b"], strict=True)}
    assert [len(found) for found in sides] == [1, 1]
    assert frozenset.union(*map(frozenset, sides)) in asked
    assert store.votes().empty
    assert store.annotators().empty  # nobody was invited
    store.close()


def test_without_playwright_it_says_how_to_do_without(tmp_path, monkeypatch):
    folder = make_scene_study(tmp_path / "study", n_prompts=2)
    open_collection(folder, NOW).close()
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(
        EvalkitError, match=r"pip install playwright.*save a picture of your own as"
    ):
        photograph(folder, NOW)
    assert not folder.screen_file.exists()
