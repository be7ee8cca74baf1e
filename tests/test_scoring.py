"""Scoring by metrics of all kinds: tiny real metrics of honest arithmetic, on real files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit import tables
from evalkit.design import plan_pairs
from evalkit.errors import EvalkitError, ModelError, StudyError
from evalkit.metrics import registry
from evalkit.metrics.registry import Card, DualEncoder
from evalkit.scoring import score
from evalkit.scoring.ahead import map_ahead
from evalkit.scoring.chosen import chosen_metrics
from evalkit.scoring.kept import Kept
from evalkit.scoring.told import told_json, told_lines
from evalkit.study_folder import StudyFolder

ROOT = Path(__file__).parents[1]
PROMPTS = {"p1": "abc", "p2": "a longer text"}
QUESTIONS = {"quality": "Which is brighter?", "alignment": "Which is darker?"}


def image_of(shade: int, size: int = 8) -> Image.Image:
    return Image.new("RGB", (size, size), (shade, shade, shade))


def shade_of(image: Image.Image) -> float:
    return float(np.asarray(image)[0, 0, 0])


SHADES = {  # by model, prompt and seed
    (model, prompt, seed): 10 * place + 5
    for place, (model, prompt, seed) in enumerate(
        (model, prompt, seed)
        for model in ("light", "dark")
        for prompt in PROMPTS
        for seed in (0, 1)
    )
}


def make_folder(root: Path, seeds: tuple[int, ...] = (0, 1)) -> StudyFolder:
    """Two models, two prompts, grey images."""
    rows = []
    for (model, prompt, seed), shade in SHADES.items():
        if seed in seeds:
            name = f"{model}/{prompt}-{seed}.png"
            (root / "images" / model).mkdir(parents=True, exist_ok=True)
            image_of(shade).save(root / "images" / name)
            rows.append((f"{model}-{prompt}-{seed}", prompt, model, seed, name))
    images = pd.DataFrame(rows, columns=["image_id", "prompt_id", "model", "seed", "file_name"])
    images = images.assign(width=8, height=8, sha256="", seconds=0.1, status="ok")
    tables.write(images, root / "images.csv", tables.IMAGES)
    prompts = pd.DataFrame({"prompt_id": PROMPTS.keys(), "prompt": PROMPTS.values()})
    tables.write(prompts.assign(category="", challenge=""), root / "prompts.csv", tables.PROMPTS)
    questions = "".join(
        f'[[questions]]\nid = "{key}"\ntext = "{text}"\nshow_prompt = false\n'
        for key, text in QUESTIONS.items()
    )
    models = "".join(
        f'[models.{model}]\nimages = "{model}"\nwidth = 8\nheight = 8\n'
        for model in ("light", "dark")
    )
    (root / "study.toml").write_text(
        'name = "grey"\nseed = 1\n[prompts]\nsource = "prompts.csv"\n'
        f"[images]\nseeds = {list(seeds)}\n{models}{questions}"
    )
    return StudyFolder(root)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_folder(tmp_path / "study")


def card(kind: str) -> Card:
    return Card(kind=kind, weights="w", licence="none", range="any", source="arithmetic")


class Counting:
    """What a metric was asked, over all instances."""

    weights = "w@1"
    batch_size = 3
    calls: list[int]

    def prepare(self, image: Image.Image) -> float:
        return shade_of(image)

    def is_truncated(self, prompt: str) -> bool:
        return len(prompt) > 5


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch):
    """Puts a metric of this kind and class in the place of `toy`; gives what loads and calls."""

    def place(kind: str, metric: type, name: str = "w@1") -> SimpleNamespace:
        seen = SimpleNamespace(loads=0, calls=[])
        metric.calls = seen.calls

        def load(weights: str | None, study: object) -> object:
            seen.loads += 1
            return metric()

        module = SimpleNamespace(CARD=card(kind), load=load, identify=lambda weights, study: name)
        monkeypatch.setattr(registry, "metric_names", lambda kind=None: ["toy"])
        monkeypatch.setattr(registry, "import_module", lambda name: module)
        seen.module = module
        return seen

    return place


class Brightness(Counting):
    """The shade times the length of the prompt."""

    def score(self, prepared: list[float], prompts: list[str]) -> list[float]:
        self.calls.append(len(prepared))
        return [shade * len(prompt) for shade, prompt in zip(prepared, prompts, strict=True)]


class Angles(Counting):
    """Images and texts on a circle, by shade and by length."""

    def encode_images(self, prepared: list[float]) -> np.ndarray:
        self.calls.append(("image", len(prepared)))
        return circle(np.array(prepared) / 100)

    def encode_texts(self, prompts: list[str]) -> np.ndarray:
        self.calls.append(("text", len(prompts)))
        return circle(np.array([len(prompt) for prompt in prompts]) / 10)

    def compare(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        return 10 * (images * texts).sum(axis=1)

    def score(self, prepared: list[float], prompts: list[str]) -> list[float]:
        raise AssertionError("an encoder is asked for embeddings")


def circle(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class Preferring(Counting):
    """Prefers the brighter (or the darker, by the question) by its share, and the first place."""

    def prefers_first(
        self, first: list[float], second: list[float], prompts: list[str], question: str
    ) -> list[float]:
        self.calls.append((len(first), question))
        shares = [a / (a + b) for a, b in zip(first, second, strict=True)]
        if question == QUESTIONS["alignment"]:
            shares = [1 - share for share in shares]
        return [min(1.0, share + 0.1) for share in shares]


class MeanGap(Counting):
    """The gap between mean shades; an interval of one around it."""

    method = "gap of means"

    def features(self, prepared: list[float]) -> np.ndarray:
        self.calls.append(len(prepared))
        return np.array(prepared, dtype=np.float32)[:, None]

    def distance(self, images: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
        gap = abs(float(images.mean() - reference.mean()))
        return gap, gap - 1, gap + 1


class Range(Counting):
    """The mean difference over pairs of shades."""

    def spread(self, prepared: list[float]) -> float:
        self.calls.append(len(prepared))
        gaps = [abs(a - b) for place, a in enumerate(prepared) for b in prepared[place + 1 :]]
        return sum(gaps) / len(gaps)


def npz(folder: StudyFolder, what: str = "*") -> list[Path]:
    return sorted(folder.cache.glob(f"toy/*/{what}/*.npz"))


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
from evalkit.scoring import score
from evalkit.study_folder import StudyFolder
from tests.test_scoring import Brightness, card

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


def test_pairs_are_judged_by_every_question_in_both_orders(folder, plant):
    seen = plant("pair", Preferring)
    judged = score(folder, "toy")
    written = tables.read(folder.judgements / "toy.csv", tables.JUDGEMENTS)
    assert len(written) == len(judged) == 2 * 4
    row = written[(written["question_id"] == "quality") & (written["prompt_id"] == "p1")].iloc[0]
    assert (row.model_a, row.model_b, row.seed) == ("dark", "light", 0)
    a, b = SHADES["dark", "p1", 0], SHADES["light", "p1", 0]  # 45 and 5
    # a is preferred with 45/50; the first place adds .1, at most to 1.
    assert row.a_when_first == pytest.approx(min(1.0, a / (a + b) + 0.1))
    assert row.a_when_second == pytest.approx(1 - (b / (a + b) + 0.1))
    assert row.score == pytest.approx((1.0 + 0.8) / 2)
    other = written[(written["question_id"] == "alignment") & (written["prompt_id"] == "p1")]
    assert other.iloc[0].score == pytest.approx((0.1 + 0.1 + 1 - (0.9 + 0.1)) / 2)
    assert {question for _, question in seen.calls} == set(QUESTIONS.values())
    assert sum(n for n, _ in seen.calls) == 2 * 2 * 4
    seen.calls.clear()
    pd.testing.assert_frame_equal(score(folder, "toy"), judged)
    assert (seen.loads, seen.calls) == (1, [])


def test_the_pairs_of_the_collection_are_those_that_are_judged(folder, plant):
    plant("pair", Preferring)
    pairs = plan_pairs(folder.read_images(), folder.study).head(1)
    tables.write(pairs, folder.pairs_file, tables.PAIRS)
    assert set(score(folder, "toy")["pair_id"]) == set(pairs["pair_id"])
    tables.write(pairs.assign(image_a="gone"), folder.pairs_file, tables.PAIRS)
    with pytest.raises(StudyError, match=r"1 of 1 pairs are of images that images.csv does not"):
        score(folder, "toy")


def test_a_probability_above_one_is_refused(folder, plant):
    class Sure(Preferring):
        def prefers_first(self, first, second, prompts, question):
            return [1.5] * len(first)

    plant("pair", Sure)
    with pytest.raises(EvalkitError, match=r"p1-0\.png and .*a probability from 0 to 1"):
        score(folder, "toy")


def test_sets_are_measured_against_another_model_or_a_folder(folder, plant, tmp_path):
    seen = plant("set", MeanGap)
    scores = score(folder, "toy", reference="model:light")
    [row] = scores.to_dict("records")
    # Shades 5, 15, 25, 35 against 45, 55, 65, 75.
    assert (row["model"], row["score"], row["ci_low"], row["ci_high"]) == ("dark", 40, 39, 41)
    assert (row["n"], row["n_reference"], row["reference"]) == (4, 4, "model:light")
    assert row["method"] == "gap of means"
    for place, shade in enumerate((0, 10, 20)):
        (tmp_path / "real").mkdir(exist_ok=True)
        image_of(shade, size=16).save(tmp_path / "real" / f"{place}.png")
    seen.calls.clear()
    against = score(folder, "toy", reference=str(tmp_path / "real"))
    assert dict(zip(against["model"], against["score"], strict=True)) == {"light": 10, "dark": 50}
    assert sum(seen.calls) == 3  # the features of the study's images are known
    assert set(against["n_reference"]) == {3}
    [name] = set(against["reference"])
    assert name.startswith("real@")
    written = tables.read(folder.sets / "toy.csv", tables.SET_SCORES)
    assert sorted(written["reference"]) == sorted(["model:light", name, name])
    seen.loads = 0
    seen.calls.clear()
    again = score(folder, "toy", reference=str(tmp_path / "real"))
    pd.testing.assert_frame_equal(again, against)
    assert (seen.loads, seen.calls) == (0, [])


def test_a_distance_without_an_interval_has_none(folder, plant):
    class Bare(MeanGap):
        def distance(self, images, reference):
            return 1.0, float("nan"), float("nan")

    plant("set", Bare)
    for _ in range(2):  # computed, and known
        scores = score(folder, "toy", reference="model:light")
        assert scores[["ci_low", "ci_high"]].isna().all(axis=None)
        assert scores["score"].tolist() == [1.0]


def test_sets_without_enough_images_are_one_sentence(folder, plant, tmp_path):
    plant("set", MeanGap)
    with pytest.raises(EvalkitError, match="needs another one; add --reference"):
        score(folder, "toy")
    with pytest.raises(StudyError, match='did you mean "light"'):
        score(folder, "toy", reference="model:ligth")
    with pytest.raises(EvalkitError, match="no image is there"):
        score(folder, "toy", reference=str(tmp_path / "nowhere"))
    (tmp_path / "one").mkdir()
    image_of(3).save(tmp_path / "one" / "a.png")
    with pytest.raises(StudyError, match=r"one@\w+ has 1 images; a set needs at least 2"):
        score(folder, "toy", reference=str(tmp_path / "one"))


def test_spreads_are_of_a_prompt_and_model_across_seeds(folder, plant):
    seen = plant("spread", Range)
    spreads = score(folder, "toy")
    written = tables.read(folder.spreads / "toy.csv", tables.SPREADS)
    assert written["score"].tolist() == [10.0] * 4  # neighbouring seeds are 10 apart
    assert written["n"].tolist() == [2] * 4
    seen.calls.clear()
    pd.testing.assert_frame_equal(score(folder, "toy"), spreads)
    assert seen.calls == []


def test_one_seed_has_no_spread(tmp_path, plant):
    plant("spread", Range)
    with pytest.raises(StudyError, match="none has 2 that are ok; give .images. .* two seeds"):
        score(make_folder(tmp_path / "study", seeds=(0,)), "toy")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("kind", "base", "call"),
    [("image", Brightness, "score"), ("pair", Preferring, "prefers_first"), ("spread", Range, "")],
)
def test_a_number_that_is_not_finite_names_its_image(folder, plant, kind, base, call, value):
    answers = {call: lambda self, prepared, *rest: [value] * len(prepared)}
    if kind == "spread":
        answers = {"spread": lambda self, prepared: value}
    plant(kind, type("Broken", (base,), answers))
    with pytest.raises(EvalkitError, match=rf"p1(-0\.png|.*light|.*dark).*its score is {value}"):
        score(folder, "toy")
    assert not npz(folder)


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


def test_an_option_of_another_kind_is_refused(folder, plant):
    plant("image", Brightness)
    with pytest.raises(EvalkitError, match="--reference is for metrics of sets"):
        score(folder, "toy", reference="model:light")
    with pytest.raises(EvalkitError, match="--workers is for Ray"):
        score(folder, "toy", workers=2)
    with pytest.raises(EvalkitError, match='engine "dask"; allowed are local, ray'):
        score(folder, "toy", engine="dask")
    with pytest.raises(ModelError, match="toy cannot be told its device"):
        score(folder, "toy", device="cpu")


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


def test_what_a_metric_gave_is_said_by_its_kind(folder, plant):
    plant("image", Brightness)
    scores = score(folder, "toy")
    said = told_json(scores)
    assert (said["kind"], said["n"], said["truncated"], said["skipped"]) == ("image", 8, 4, 0)
    assert "4 of them of a prompt that was cut at the token limit" in told_lines(scores)[0]
    plant("pair", Preferring)
    judged = score(folder, "toy")
    [quality] = [m for m in told_json(judged)["matchups"] if m["question_id"] == "quality"]
    mean = judged.loc[judged["question_id"] == "quality", "score"].mean()
    assert quality["score"] == pytest.approx(mean)
    # The first place adds .1 of every pair: no share of the brighter is above .9.
    assert quality["first"] == pytest.approx(0.6)
    assert "  quality: dark preferred to light with" in "\n".join(told_lines(judged))
    plant("set", MeanGap)
    lines = told_lines(score(folder, "toy", reference="model:light"))
    assert lines[1] == "  dark: 40.00 (39.00 to 41.00), 4 images against 4 of model:light"
    plant("spread", Range)
    assert told_lines(score(folder, "toy"))[1:] == [
        "  dark: 10.000, 2 prompts", "  light: 10.000, 2 prompts"
    ]  # fmt: skip


def test_weights_are_of_one_metric():
    assert chosen_metrics(["clip_score", "clip_score"], "w") == ["clip_score"]
    assert set(chosen_metrics(["all"], None)) == set(registry.metric_names("image"))
    with pytest.raises(EvalkitError, match="weights are those of one metric"):
        chosen_metrics(["clip_score", "scene_attributes"], "w")


def test_metrics_are_listed_with_their_cards_and_without_torch():
    code = (
        "import sys\nfrom evalkit.scoring.listing import list_metrics\nprint(list_metrics())\n"
        "print([name for name in ('torch', 'open_clip') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "[]"
    [line] = [line for line in lines if line.startswith("clip_score")]
    for part in ("image", "ViT-g-14/laion2b_s34b_b88k", "MIT", "-100 to 100", "Hessel"):
        assert part in line
    assert {line.split()[0] for line in lines[1:] if line} >= set(registry.metric_names())


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "evalkit.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_one_metric_that_fails_does_not_stop_the_others(tmp_path):
    """Captions that are no scenes, and a name that is wrong, beside a metric that can."""
    pytest.importorskip("open_clip")
    folder = make_folder(tmp_path / "study")
    text = (folder.root / "study.toml").read_text()
    for model in ("light", "dark"):
        text = text.replace(
            f'[models.{model}]\nimages = "{model}"\nwidth = 8\nheight = 8\n',
            f'[models.{model}]\ncatalogue = "scenes-base"\n',
        )
    (folder.root / "study.toml").write_text(text)
    named = ["scene_attributes", "clipp_score", "clip_score", "clip_score"]
    done = run("score", folder.root, *(part for name in named for part in ("--metric", name)))
    assert done.returncode == 2
    first, second = (line for line in done.stderr.splitlines() if line.startswith("evalkit: "))
    assert first.startswith("evalkit: scene_attributes: ")
    assert 'did you mean "clip_score"' in second
    assert done.stdout.splitlines()[0] == "clip_score of 8 images, weights scenes-clip"
    assert len(tables.read(folder.scores / "clip_score.csv", tables.SCORES)) == 8
    as_json = run("score", folder.root, "--json")  # all known by now
    assert as_json.returncode == 0
    [told] = json.loads(as_json.stdout)["metrics"]
    assert (told["metric"], told["n"]) == ("clip_score", 8)
    refused = run("score", folder.root, "--metric", "all", "--weights", "x")
    assert refused.returncode == 2
    assert "weights are those of one metric" in refused.stderr
    assert "Traceback" not in refused.stderr + done.stderr
