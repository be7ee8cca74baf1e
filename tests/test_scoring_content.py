"""Rows of metrics' tables name the content they are about; rows of what was before go."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace

import pandas as pd
import pytest

from evalkit import tables
from evalkit.design import plan_pairs
from evalkit.errors import StudyError
from evalkit.result_tables.metric_files import (
    read_judgements,
    read_scores,
    read_sets,
    read_spreads,
)
from evalkit.scoring import score
from evalkit.scoring.writing import write_beside
from evalkit.study_folder import StudyFolder
from tests.toy_metrics import (
    Brightness,
    MeanGap,
    Preferring,
    Range,
    folder,
    image_of,
    list_hashes,
    plant,
)

__all__ = ["folder", "plant"]  # fixtures

KINDS = {  # metric, folder and columns of its table, rows of a run, of them about dark/p1-0
    "image": (Brightness, "scores", tables.SCORES, 8, 1),
    "pair": (Preferring, "judgements", tables.JUDGEMENTS, 8, 2),  # one pair, two questions
    "set": (MeanGap, "sets", tables.SET_SCORES, 2, 1),
    "spread": (Range, "spreads", tables.SPREADS, 4, 1),
}


@pytest.fixture
def photographs(tmp_path):
    """A reference of two images."""
    (tmp_path / "real").mkdir()
    for shade in (0, 10):
        image_of(shade).save(tmp_path / "real" / f"{shade}.png")
    return str(tmp_path / "real")


def read(folder: StudyFolder, kind: str) -> pd.DataFrame:
    """The table of the kind, as the analysis reads it."""
    images = folder.read_images()
    if kind == "pair":
        return read_judgements(folder, plan_pairs(images, folder.study), images)
    readers = {"image": read_scores, "set": read_sets, "spread": read_spreads}
    return readers[kind](folder, images)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_other_weights_go_where_their_image_has_changed(folder, plant, photographs, kind):
    metric, name, table, n, about_it = KINDS[kind]
    reference = photographs if kind == "set" else None
    plant(kind, metric)
    score(folder, "toy", reference=reference)
    plant(kind, type("Other", (metric,), {"weights": "w@2"}), name="w@2")
    score(folder, "toy", reference=reference)
    file = getattr(folder, name) / "toy.csv"
    counts = tables.read(file, table).groupby("weights").size().to_dict()
    assert counts == {"w@1": n, "w@2": n}
    image_of(99).save(folder.images / "dark" / "p1-0.png")
    score(folder, "toy", reference=reference)
    counts = tables.read(file, table).groupby("weights").size().to_dict()
    assert counts == {"w@1": n - about_it, "w@2": n}


def test_a_distance_goes_where_an_image_of_its_reference_model_has_changed(folder, plant):
    plant("set", MeanGap)
    score(folder, "toy", reference="model:light")
    score(folder, "toy", reference="model:dark")
    image_of(99).save(folder.images / "light" / "p1-0.png")
    plant("set", type("Other", (MeanGap,), {"weights": "w@2"}), name="w@2")
    score(folder, "toy", reference="model:light")
    assert tables.read(folder.sets / "toy.csv", tables.SET_SCORES)["weights"].tolist() == ["w@2"]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_about_an_image_of_before_are_refused(folder, plant, photographs, kind):
    metric, _, _, n, _ = KINDS[kind]
    list_hashes(folder)
    plant(kind, metric)
    score(folder, "toy", reference=photographs if kind == "set" else None)
    found = read(folder, kind)
    assert len(found) == n
    assert "content" not in found
    image_of(99).save(folder.images / "dark" / "p1-0.png")
    list_hashes(folder)
    with pytest.raises(StudyError, match=r"a row is of what was there before \(weights: w@1"):
        read(folder, kind)


def test_a_table_that_names_no_content_is_read_by_its_names(folder, plant):
    plant("image", Brightness)
    list_hashes(folder)
    score(folder, "toy")
    file = folder.scores / "toy.csv"
    old = tables.read(file, tables.SCORES).drop(columns="content")
    tables.write(old, file, tables.SCORES)
    assert len(read(folder, "image")) == len(old)


def test_two_runs_at_once_keep_the_rows_of_both(folder, plant, monkeypatch):
    plant("image", Brightness)
    scores = score(folder, "toy")
    (folder.scores / "toy.csv").write_text(
        (folder.scores / "toy.csv").read_text().splitlines()[0] + "\n"
    )
    contents = dict(zip(zip(scores["image_id"], strict=True), scores["content"], strict=True))
    run = SimpleNamespace(folder=folder, job=SimpleNamespace(metric="toy"))
    both = Barrier(2)

    def slow(*arguments):
        found = tables.read(*arguments)
        with suppress(BrokenBarrierError):
            both.wait(timeout=0.5)  # so that, unhindered, both have read before one writes
        return found

    tables_of = SimpleNamespace(read=slow, write=tables.write)
    monkeypatch.setattr("evalkit.scoring.writing.tables", tables_of)

    def write(weights):
        frame = scores.assign(weights=weights)
        write_beside(run, frame, folder.scores, tables.SCORES, ["image_id"], lambda _: contents)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ["w@1", "w@2"]))
    written = tables.read(folder.scores / "toy.csv", tables.SCORES)
    assert written.groupby("weights").size().to_dict() == {"w@1": 8, "w@2": 8}
