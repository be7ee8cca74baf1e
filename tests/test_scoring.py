"""Scores of images: kept by content, computed once, never trusted when damaged."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit import tables
from evalkit.errors import ModelError, StudyError
from evalkit.metrics.registry import DualEncoder
from evalkit.scoring import metric_run, score
from evalkit.scoring.ahead import map_ahead
from evalkit.scoring.kept import Kept
from evalkit.study_folder import StudyFolder
from tests.toy_metrics import (
    PROMPTS,
    ROOT,
    SHADES,
    Angles,
    Brightness,
    Preferring,
    folder,
    image_of,
    list_hashes,
    npz,
    plant,
)

__all__ = ["folder", "plant"]  # fixtures


def test_a_metric_of_images_gives_a_score_per_image(folder, plant):
    seen = plant("image", Brightness)
    scores = score(folder, "toy")
    written = tables.read(folder.scores / "toy.csv", tables.SCORES)
    expected = {
        f"{model}-{prompt}-{seed}": shade * len(PROMPTS[prompt])
        for (model, prompt, seed), shade in SHADES.items()
    }
    assert dict(zip(written["image_id"], written["score"], strict=True)) == expected
    assert set(written.loc[written["truncated"], "prompt_id"]) == {"p2"}
    assert set(written["weights"]) == {"w@1"}
    assert seen.calls == [3, 3, 2]
    assert "cosine" not in written
    assert scores.attrs["skipped"] == 0


def test_a_dual_encoder_gives_scores_and_bare_cosines_and_reads_each_prompt_once(folder, plant):
    assert isinstance(Angles(), DualEncoder)
    assert not isinstance(Brightness(), DualEncoder)
    seen = plant("image", Angles)
    scores = score(folder, "toy")
    angle = [SHADES[row.model, row.prompt_id, row.seed] / 100 for row in scores.itertuples()]
    length = scores["prompt_id"].map(lambda key: len(PROMPTS[key]) / 10)
    cosines = np.cos(np.array(angle) - length)  # cos(a - b) of two points of a circle
    assert scores["cosine"].to_numpy() == pytest.approx(cosines.to_numpy(), abs=1e-6)
    assert scores["score"].to_numpy() == pytest.approx(10 * scores["cosine"].to_numpy(), abs=1e-5)
    assert sum(n for what, n in seen.calls if what == "text") == len(PROMPTS)
    assert sum(n for what, n in seen.calls if what == "image") == len(SHADES)


@pytest.mark.parametrize("metric", [Brightness, Angles])
def test_a_second_run_computes_nothing_and_loads_nothing(folder, plant, metric):
    seen = plant("image", metric)
    first = score(folder, "toy")
    seen.calls.clear()
    steps = []
    again = score(folder, "toy", progress=lambda *step: steps.append(step))
    pd.testing.assert_frame_equal(again, first)
    assert (seen.loads, seen.calls) == (1, [])
    assert steps == [(8, 8, "w@1")]


def test_only_what_changed_is_computed_anew(folder, plant):
    seen = plant("image", Angles)
    score(folder, "toy")
    seen.calls.clear()
    image_of(99).save(folder.images / "dark" / "p1-0.png")  # other pixels under the same name
    scores = score(folder, "toy").set_index("image_id")
    assert seen.calls == [("image", 1)]  # its prompt is known
    assert scores.loc["dark-p1-0", "score"] == pytest.approx(10 * np.cos(0.99 - 0.3), abs=1e-5)
    seen.calls.clear()
    text = folder.prompts_file.read_text().replace("abc", "abcd")
    folder.prompts_file.write_text(text)
    scores = score(StudyFolder(folder.root), "toy").set_index("image_id")
    assert seen.calls == [("text", 1)]  # its images are known
    assert scores.loc["dark-p1-0", "score"] == pytest.approx(10 * np.cos(0.99 - 0.4), abs=1e-5)


def test_other_weights_share_nothing_and_keep_their_rows(folder, plant):
    plant("image", Brightness)
    score(folder, "toy")
    seen = plant("image", type("Other", (Brightness,), {"weights": "w@2"}), name="w@2")
    score(folder, "toy")
    assert sum(seen.calls) == len(SHADES)
    written = tables.read(folder.scores / "toy.csv", tables.SCORES)
    assert written.groupby("weights").size().to_dict() == {"w@1": 8, "w@2": 8}


def test_weights_that_only_loading_tells_are_kept_by_too(folder, plant):
    seen = plant("image", Brightness)
    del seen.module.identify
    score(folder, "toy")
    seen.calls.clear()
    assert set(score(folder, "toy")["weights"]) == {"w@1"}
    assert seen.calls == []


def test_weights_that_are_not_those_that_were_named_are_refused(folder, plant):
    plant("image", Brightness, name="w@9")
    with pytest.raises(ModelError, match="toy loaded the weights w@1, and named w@9 before"):
        score(folder, "toy")
    assert not npz(folder)


def test_what_another_version_gave_is_computed_again(folder, plant, monkeypatch):
    seen = plant("image", Brightness)
    score(folder, "toy")
    seen.module.CARD = replace(seen.module.CARD, version=2)
    score(folder, "toy")
    assert sum(seen.calls) == 2 * len(SHADES)
    monkeypatch.setattr(metric_run, "_library_versions", lambda: ("pillow 99.0",))
    score(folder, "toy")
    assert sum(seen.calls) == 3 * len(SHADES)
    score(folder, "toy")
    assert sum(seen.calls) == 3 * len(SHADES)


def test_the_libraries_that_make_pixels_and_numbers_are_told_by_major_and_minor():
    pillow = ".".join(importlib.metadata.version("pillow").split(".")[:2])
    assert f"pillow {pillow}" in metric_run._library_versions()


def test_images_of_the_same_bytes_are_computed_once(folder, plant):
    seen = plant("image", Brightness)
    shutil.copy(folder.images / "dark" / "p1-0.png", folder.images / "light" / "p1-0.png")
    scores = score(folder, "toy").set_index("image_id")["score"]
    assert sum(seen.calls) == len(SHADES) - 1
    assert scores["dark-p1-0"] == scores["light-p1-0"] == SHADES["dark", "p1", 0] * 3


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def falsify(file: Path) -> None:
    """A whole file of other numbers under the old name."""
    with np.load(file) as found:
        columns = dict(found)
    np.savez(file, **{**columns, "score": columns["score"] + 1})


@pytest.mark.parametrize("harm", [damage, cut, falsify])
def test_a_damaged_file_is_computed_again_and_never_trusted(folder, plant, harm):
    seen = plant("image", Brightness)
    first = score(folder, "toy")
    seen.calls.clear()
    victim = npz(folder, "scores")[0]
    with np.load(victim) as found:
        lost = len(found["keys"])
    harm(victim)
    pd.testing.assert_frame_equal(score(folder, "toy"), first)
    assert sum(seen.calls) == lost
    seen.calls.clear()
    score(folder, "toy")
    assert seen.calls == []


def test_a_number_that_is_not_finite_is_not_trusted_in_a_well_named_file(tmp_path):
    kept = Kept(tmp_path)
    kept.add(["one"], {"score": np.array([1.0])})
    kept.add(["two"], {"score": np.array([np.nan])})
    again = Kept(tmp_path)
    assert again.row("one") == {"score": 1.0}
    assert again.row("two") is None
    assert len(list(tmp_path.glob("*.npz"))) == 1


def test_a_file_that_cannot_be_read_at_the_moment_stays(tmp_path, monkeypatch):
    Kept(tmp_path).add(["one"], {"score": np.array([1.0])})

    def fail(path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        assert Kept(tmp_path).row("one") is None
    assert Kept(tmp_path).row("one") == {"score": 1.0}


class Failing(Brightness):
    """Ends at the fifth image."""

    def score(self, prepared: list[float], prompts: list[str]) -> list[float]:
        if len(self.calls) >= 1:
            raise ModelError("score: toy: no more")
        return super().score(prepared, prompts)


def test_what_was_computed_before_a_failure_stays(folder, plant):
    seen = plant("image", Failing)
    with pytest.raises(ModelError, match="no more"):
        score(folder, "toy")
    assert seen.calls == [3]
    assert not (folder.scores / "toy.csv").exists()
    seen = plant("image", Brightness)
    score(folder, "toy")
    assert sum(seen.calls) == len(SHADES) - 3


SLOW = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from evalkit.metrics import registry
from evalkit.scoring import metric_run, score
from evalkit.study_folder import StudyFolder
from tests.toy_metrics import Brightness, card

class Slow(Brightness):
    calls, batch_size = [], 1
    def score(self, prepared, prompts):
        time.sleep(0.3)
        return super().score(prepared, prompts)

module = SimpleNamespace(
    CARD=card("image"), load=lambda weights, study: Slow(), identify=lambda weights, study: "w@1"
)
registry.metric_names = lambda kind=None: ["toy"]
registry.import_module = lambda name: module
score(StudyFolder(Path(sys.argv[1])), "toy")
"""


def test_a_kill_in_the_middle_loses_only_what_was_under_way(folder, plant):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([sys.executable, "-c", SLOW, folder.root], env=environment)
    deadline = time.monotonic() + 60
    while len(npz(folder, "scores")) < 2:
        assert run.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait(timeout=30)
    done = len(npz(folder, "scores"))
    assert 2 <= done < len(SHADES)
    assert not (folder.scores / "toy.csv").exists()
    seen = plant("image", Brightness)
    scores = score(folder, "toy")
    assert sum(seen.calls) == len(SHADES) - done
    assert scores["score"].sum() == sum(
        shade * len(PROMPTS[prompt]) for (_, prompt, _), shade in SHADES.items()
    )


def test_too_few_numbers_are_one_sentence(folder, plant):
    class Short(Brightness):
        def score(self, prepared, prompts):
            return [1.0]

    plant("image", Short)
    with pytest.raises(ModelError, match=r"gave numbers of the shape \(1,\) for 3 inputs"):
        score(folder, "toy")


def test_an_image_that_changes_while_it_is_scored_is_refused(folder, plant):
    class Meddling(Brightness):
        batch_size = 1

        def score(self, prepared, prompts):
            for path in folder.images.rglob("*.png"):
                image_of(200).save(path)
            return super().score(prepared, prompts)

    plant("image", Meddling)
    with pytest.raises(StudyError, match=r"\.png: is not the image that was listed"):
        score(folder, "toy")


def test_images_are_prepared_ahead_but_never_many_at_once():
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        return item * item

    results = map_ahead(work, range(1000), threads=2, most=5)
    for expected in range(20):
        item, result = next(results)
        assert (item, result) == (expected, expected**2)
        assert len(begun) <= expected + 5
    results.close()
    assert len(begun) <= 25


def test_a_batch_size_that_is_given_is_that_of_the_calls(folder, plant):
    seen = plant("image", Brightness)
    score(folder, "toy", batch_size=8)
    assert seen.calls == [8]


def test_an_image_that_is_not_the_one_voted_on_is_refused(folder, plant):
    plant("image", Brightness)
    list_hashes(folder)
    assert len(score(folder, "toy")) == len(SHADES)
    image_of(99).save(folder.images / "dark" / "p1-0.png")
    with pytest.raises(StudyError, match=r"p1-0\.png: is another image than images\.csv lists"):
        score(folder, "toy")


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (Image.fromarray(np.full((8, 8), 40000, dtype=np.uint16)), "has 16 bits per colour"),
        (Image.new("RGBA", (8, 8), (200, 0, 0, 10)), "has transparent pixels"),
    ],
)
def test_pixels_that_could_be_read_in_two_ways_are_refused(folder, plant, picture, said):
    plant("image", Brightness)
    picture.save(folder.images / "dark" / "p1-0.png")
    with pytest.raises(ModelError, match=rf"p1-0\.png: {said}"):
        score(folder, "toy")


@pytest.mark.parametrize(("kind", "metric"), [("image", Brightness), ("pair", Preferring)])
def test_an_image_without_its_prompt_is_one_sentence(folder, plant, kind, metric):
    plant(kind, metric)
    prompts = folder.read_prompts()
    tables.write(prompts[prompts["prompt_id"] != "p2"], folder.prompts_file, tables.PROMPTS)
    with pytest.raises(StudyError, match=r"prompts\.csv: lacks p2 of images\.csv"):
        score(folder, "toy")
