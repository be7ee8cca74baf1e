"""Metrics of pairs, sets and spreads, what is said of each kind, and the command."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from evalkit import tables
from evalkit.design import plan_pairs
from evalkit.errors import EvalkitError, ModelError, StudyError
from evalkit.metrics import registry
from evalkit.scoring import score
from evalkit.scoring.chosen import chosen_metrics
from evalkit.scoring.told import told_json, told_lines
from evalkit.study_folder import StudyFolder
from tests.toy_metrics import (
    PROMPTS,
    QUESTIONS,
    ROOT,
    SHADES,
    Brightness,
    MeanGap,
    Preferring,
    Range,
    folder,
    image_of,
    make_folder,
    npz,
    plant,
)

__all__ = ["folder", "plant"]  # fixtures


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


def test_a_judge_reads_the_prompt_where_annotators_do(folder, plant):
    read = {}

    class Reading(Preferring):
        def prefers_first(self, first, second, prompts, question):
            read.setdefault(question, set()).update(prompts)
            return super().prefers_first(first, second, prompts, question)

    plant("pair", Reading)
    file = folder.root / "study.toml"
    head, question, rest = file.read_text().partition('text = "Which is darker?"')
    file.write_text(head + question + rest.replace("show_prompt = false", "show_prompt = true"))
    score(StudyFolder(folder.root), "toy")
    assert read == {"Which is brighter?": {""}, "Which is darker?": set(PROMPTS.values())}


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


def test_small_distances_are_said_with_digits_that_count(folder, plant):
    class Small(MeanGap):
        def distance(self, images, reference):
            return 0.001234, -0.0004567, 0.0028

    plant("set", Small)
    line = told_lines(score(folder, "toy", reference="model:light"))[1]
    assert line.startswith("  dark: 0.00123 (-0.000457 to 0.0028), 4 images")


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
    better = lines[0].index("better")
    ways = {line.split()[0]: line[better:].split()[0] for line in lines[1:] if "  " in line}
    assert (ways["clip_score"], ways["fid"], ways["kid"]) == ("higher", "lower", "lower")
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
    for options in (["--engine", "dask"], ["--weights", ""], ["--workers", "2"]):
        both = [] if options[0] == "--weights" else ["--metric", "scene_attributes"]
        wrong = run("score", folder.root, "--metric", "clip_score", *both, *options)
        assert wrong.returncode == 2
        assert wrong.stderr.count("\n") == wrong.stderr.count("evalkit: score: ") == 1
    assert "Traceback" not in refused.stderr + done.stderr


def test_a_batch_size_reaches_a_metric_that_batches_by_itself(folder, plant):
    sizes = []

    class Batching(Range):
        def spread(self, prepared):
            sizes.append(self.batch_size)
            return super().spread(prepared)

    plant("spread", Batching)
    score(folder, "toy", batch_size=7)
    assert set(sizes) == {7}
