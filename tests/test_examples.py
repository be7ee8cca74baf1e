"""Example pairs: which are chosen, and their thumbnails."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from evalkit.report.examples import choose_pairs, thumbnail


def votes(counts: dict[str, tuple[int, int]]) -> pd.DataFrame:
    rows = [
        (pair_id, "quality", winner)
        for pair_id, (a, b) in counts.items()
        for winner in ["model_a"] * a + ["model_b"] * b + ["tie"]
    ]
    return pd.DataFrame(rows, columns=["pair_id", "question_id", "winner"])


def test_disputed_and_one_sided_pairs_are_those_and_none_stands_twice() -> None:
    counts = {f"even-{n}": (2, 2) for n in range(8)} | {f"clear-{n}": (5, 0) for n in range(8)}
    chosen = choose_pairs(votes(counts), seed=3)
    by_why = pd.DataFrame(chosen, columns=["pair_id", "why"]).groupby("why")["pair_id"].apply(list)
    assert len({pair_id for pair_id, _ in chosen}) == len(chosen) == 12
    assert all(pair_id.startswith("even") for pair_id in by_why["most disputed"])
    assert all(pair_id.startswith("clear") for pair_id in by_why["most one-sided"])


def test_questions_that_disagree_make_no_dispute() -> None:
    sure = votes({f"clear-{n}": (4, 0) for n in range(9)} | {f"even-{n}": (2, 2) for n in range(9)})
    other = votes({f"clear-{n}": (0, 4) for n in range(9)}).assign(question_id="alignment")
    chosen = choose_pairs(pd.concat([sure, other]), seed=3)
    disputed = [pair_id for pair_id, why in chosen if why == "most disputed"]
    assert len(disputed) == 3
    assert all(pair_id.startswith("even") for pair_id in disputed)


def test_the_drawn_pairs_depend_on_the_seed_alone_and_each_is_as_likely() -> None:
    table = votes({f"pair-{n:02d}": (n % 3, 2) for n in range(24)})
    assert choose_pairs(table, 5) == choose_pairs(table.sample(frac=1, random_state=0), 5)
    drawn = [
        pair_id
        for seed in range(400)
        for pair_id, why in choose_pairs(table, seed)
        if why == "drawn at random"
    ]
    share = pd.Series(drawn).value_counts() / 400
    assert len(share) == 24
    assert share.between(0.15, 0.35).all()  # 6 of 24, binomial sd .022


def test_thumbnails_are_small_and_keep_their_shape(tmp_path: Path) -> None:
    Image.new("RGB", (1024, 512), (200, 30, 30)).save(tmp_path / "wide.png")
    uri = thumbnail(tmp_path / "wide.png")
    image = Image.open(BytesIO(base64.b64decode(uri.split(",")[1])))
    assert image.size == (320, 160)
    assert np.abs(np.array(image.getpixel((160, 80))) - (200, 30, 30)).max() < 8
