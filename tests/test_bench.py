"""Timing by a clock that the test holds; bench.json, its table, and what the analysis reads."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from evalkit import bench as benchmark
from evalkit import tables
from evalkit.analysis import bench_speeds
from evalkit.cli import app
from evalkit.errors import ModelError, StudyError
from evalkit.files import write_json
from evalkit.models import resolve
from evalkit.pipelines import OutOfMemoryError, Request, diffusion, random_weights, timing
from evalkit.report.figures import speed_figure
from evalkit.report.sections.speed import speed_sheet
from evalkit.result_tables.beside_votes import read_speeds
from tests.miniatures import small, study_file
from tests.test_random_weights import MINIATURE

NOW = "2025-01-01T00:00:00.000+00:00"
PARTS = ("encode", "denoise", "decode", "whole")


class Clock:
    """A clock that only work and waiting move: a call takes what it is told, when waited for."""

    def __init__(self, seconds):
        self.now, self.pending, self.seconds, self.events = 0.0, 0.0, iter(seconds), []

    def call(self):
        self.pending += next(self.seconds)
        self.events.append("call")

    def synchronise(self):
        self.now, self.pending = self.now + self.pending, 0.0
        self.events.append("wait")


def test_the_device_is_waited_for_before_and_after_each_call():
    clock = Clock([9, 1, 1, 1, 2, 3, 4, 5, 6])
    found = timing.time_calls(clock.call, 5, clock.synchronise, lambda: clock.now)
    # Warm-up 9, 1, 1, 1: stable once the last three are alike. Then 2 to 6.
    assert clock.events == ["wait", "call", "wait"] * 9
    assert found == timing.Timing(4.0, 3.0, 5.0, 5, 4, True)


def test_a_call_that_never_settles_is_said_to():
    clock = Clock([1, 2] * 20)
    found = timing.time_calls(clock.call, 2, clock.synchronise, lambda: clock.now)
    assert (found.warm_up, found.stable) == (20, False)


def test_a_slow_call_is_not_warmed_up_for_long():
    clock = Clock([50, 30, 20, 7])
    found = timing.time_calls(clock.call, 1, clock.synchronise, lambda: clock.now)
    assert (found.warm_up, found.stable, found.seconds_median) == (3, False, 7)


@pytest.fixture(scope="module")
def models(made):
    tables_ = {
        "guided": small("scenes-base", made["scenes_base"], steps=2, guidance=4.0),
        "turbo": small("scenes-turbo", made["scenes_base"], unet_repository="", unet_subfolder=""),
    }
    return [resolve(name, table, name) for name, table in tables_.items()]


@pytest.fixture(scope="module")
def result(models):
    return benchmark.bench(models, batch_sizes=(1, 2), repeats=3, device="cpu", now=NOW)


def test_each_part_is_timed_at_each_batch_size(result):
    assert [model["model"] for model in result["models"]] == ["guided", "turbo"]
    for model in result["models"]:
        assert [batch["batch_size"] for batch in model["batches"]] == [1, 2]
        for batch in model["batches"]:
            for part in PARTS:
                timed = batch[part]
                assert 0 < timed["seconds_low"] <= timed["seconds_median"] <= timed["seconds_high"]
                assert timed["n"] == 3
                assert timed["warm_up"] >= 3
            assert batch["seconds_per_image"] * batch["batch_size"] == pytest.approx(
                batch["whole"]["seconds_median"]
            )
            assert batch["without_image"] == 0
            assert batch["peak_memory_bytes"] is None


def test_the_denoiser_s_batch_is_double_where_guidance_runs_double(result):
    rows = {
        (model["model"], batch["batch_size"]): batch["denoise"]["rows"]
        for model in result["models"]
        for batch in model["batches"]
    }
    expected = {("guided", 1): 2, ("guided", 2): 4, ("turbo", 1): 1, ("turbo", 2): 2}
    assert rows == expected


def test_it_says_what_was_timed_on_what(result, models):
    assert (result["date"], result["random_weights"], result["repeats"]) == (NOW, False, 3)
    assert set(result["parts"]) == set(PARTS)
    assert result["hardware"]["device"] == "cpu"
    assert result["hardware"]["driver"] is None
    assert result["hardware"]["versions"]["torch"] == torch.__version__.split("+")[0]
    for model, spec in zip(result["models"], models, strict=True):
        assert model["settings"] == spec.settings()
        assert model["made_with"]["precision"] == "float32"
    json.dumps(result, allow_nan=False)


def test_no_prompt_is_timed_twice(monkeypatch, models):
    """`render` remembers prompts: a second call with the same would not encode them."""
    seen = []
    render = diffusion.DiffusionPipeline.render

    def noted(self, requests):
        seen.extend(request.prompt for request in requests)
        return render(self, requests)

    monkeypatch.setattr(diffusion.DiffusionPipeline, "render", noted)
    benchmark.bench(models[:1], batch_sizes=(2,), repeats=2, device="cpu", now=NOW)
    assert len(seen) == len(set(seen)) > 10


def test_the_autoencoder_is_left_as_it_was(models):
    pipeline = diffusion.load(models[0], "cpu")
    spec = models[0].model_copy(update={"vae_precision": "float32"})
    for own in (pipeline, diffusion.load(spec, "cpu")):
        before = own.library.vae.decode
        timing.time_pipeline(own, lambda: [request() for _ in range(2)], 1, "cpu")
        assert own.library.vae.decode == before
        assert not own.library.unet._forward_pre_hooks


NUMBERS = itertools.count()


def request():
    number = next(NUMBERS)
    return Request(f"p{number}", f"prompt {number}", number)


def test_memory_that_runs_out_is_the_row_s_own(monkeypatch, models):
    render = diffusion.DiffusionPipeline.render

    def limited(self, requests):
        if len(requests) > 1:
            raise OutOfMemoryError("models.guided: out of memory with 2 images in one call")
        return render(self, requests)

    monkeypatch.setattr(diffusion.DiffusionPipeline, "render", limited)
    found = benchmark.bench(models[:1], batch_sizes=(2, 1), repeats=1, device="cpu", now=NOW)
    two, one = found["models"][0]["batches"]
    assert two == {
        "batch_size": 2,
        "problem": "models.guided: out of memory with 2 images in one call",
    }
    assert one["whole"]["seconds_median"] > 0
    lines = benchmark.bench_lines(found)
    assert any("out of memory" in line for line in lines)
    assert bench_speeds(found)["model"].tolist() == ["guided"]


def test_a_model_that_starts_from_an_image_gets_one(made):
    table = small("sd-turbo-img2img", made["sd_turbo"])
    spec = resolve("m", table, "m")
    [model] = benchmark.bench([spec], repeats=1, device="cpu", now=NOW)["models"]
    assert model["batches"][0]["without_image"] == 0


def test_random_weights_are_timed_the_same_way_and_said(monkeypatch):
    known = dict.fromkeys(MINIATURE["repositories"], MINIATURE)
    monkeypatch.setattr(random_weights, "architectures", lambda: known)
    spec = resolve("sdxl", {"width": 32, "height": 32, "steps": 1}, "sdxl")
    found = benchmark.bench([spec], repeats=1, device="cpu", random_weights=True, now=NOW)
    batch = found["models"][0]["batches"][0]
    assert all(batch[part]["seconds_median"] > 0 for part in PARTS)
    assert batch["denoise"]["rows"] == 2
    assert found["random_weights"] is True
    assert set(bench_speeds(found)["source"]) == {"bench with random weights"}
    assert "RANDOM WEIGHTS" in benchmark.bench_lines(found)[0]
    assert benchmark.bench_lines(found)[-1].startswith("sdxl  ")
    found["models"][0]["made_with"]["compiled"] = ["unet", "vae.decoder"]
    assert benchmark.bench_lines(found)[-1].startswith("sdxl, compiled  ")


# ------------------------------------------------------------------------------------------------
# The command


@pytest.fixture()
def study(tmp_path, made):
    tables_ = {
        "guided": small("scenes-base", made["scenes_base"], steps=1),
        "turbo": small("scenes-turbo", made["scenes_base"], unet_repository="", unet_subfolder=""),
    }
    return study_file(tmp_path / "study", tables_)


def run(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["bench", *map(str, args), "--device", "cpu"])
    if isinstance(done.exception, ModelError | StudyError):
        return 2, str(done.exception)
    return done.exit_code, done.output


def test_a_study_s_models_are_timed_into_its_folder(study):
    code, said = run("--study", study.root, "--repeats", 1)
    assert code == 0, said
    written = json.loads(study.bench_file.read_text())
    assert [model["model"] for model in written["models"]] == ["guided", "turbo"]
    assert str(study.bench_file) in said
    frame = tables.check(read_speeds(study, pd.DataFrame()), tables.SPEED, "speed")
    assert frame["model"].tolist() == ["guided", "turbo"]
    assert set(frame["source"]) == {"bench"}
    assert set(frame["batch_size"]) == {1}


def test_some_of_a_study_s_models_leave_its_file_alone(study):
    write_json(study.bench_file, {"kept": True})
    code, said = run("turbo", "--study", study.root, "--repeats", 1)
    assert code == 0, said
    assert json.loads(study.bench_file.read_text()) == {"kept": True}


def test_named_models_only_and_a_file_elsewhere(study, tmp_path):
    code, said = run("turbo", "--study", study.root, "--repeats", 1, "--out", tmp_path / "b.json")
    assert code == 0, said
    assert [m["model"] for m in json.loads((tmp_path / "b.json").read_text())["models"]] == [
        "turbo"
    ]
    assert not study.bench_file.exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["scenes-bass"], 'unknown model "scenes-bass".*did you mean "scenes-base"'),
        ([], "no model is named"),
        (["scenes-base", "--batch", "0"], r'--batch: "0"; allowed are numbers'),
        (["scenes-base", "--batch", "1,x"], '--batch: "x"'),
        (["scenes-base", "--study", "/nowhere/study"], "no such study folder"),
        (["scenes-base", "--random-weights"], "architecture is not known"),
    ],
)
def test_a_mistake_is_one_sentence(args, says):
    code, said = run(*args)
    assert code == 2
    assert re.search(says, said), said
    assert "\n" not in said


def test_a_model_that_the_study_does_not_have(study):
    code, said = run("turbos", "--study", study.root)
    assert code == 2
    assert 'unknown model "turbos"' in said
    assert "guided, turbo" in said


def test_a_device_that_is_not_there():
    with pytest.raises(ModelError, match="is not there"):
        benchmark.bench([resolve("scenes-base", {}, "x")], device="cuda:99", now=NOW)


# ------------------------------------------------------------------------------------------------
# What the analysis and the figure make of it


def batch(size, median):
    whole = {"seconds_median": median, "seconds_low": median / 2, "seconds_high": median * 2}
    return {"batch_size": size, "whole": {**whole, "n": 20}}


def content(random=False, compiled=(), **models):
    return {
        "random_weights": random,
        "hardware": {"device_name": "GPU"},
        "models": [
            {
                "model": name,
                "settings": {},
                "made_with": {"compiled": ["unet"] if name in compiled else []},
                "batches": batches,
            }
            for name, batches in models.items()
        ],
    }


def test_latency_is_the_whole_call_for_one_image():
    found = bench_speeds(content(x=[batch(8, 3.0), batch(1, 0.5)], y=[batch(8, 1.0)]))
    assert found.to_dict("records") == [
        {
            "model": "x", "seconds_median": 0.5, "seconds_low": 0.25, "seconds_high": 1.0, "n": 20,
            "source": "bench", "batch_size": 1, "device_name": "GPU", "compiled": False,
        }
    ]  # fmt: skip


def test_nothing_timed_is_an_empty_table():
    assert tables.check(bench_speeds(content()), tables.SPEED, "speed").empty


def test_other_settings_than_the_study_s_are_refused(study):
    write_json(study.bench_file, content(guided=[batch(1, 0.5)]))
    with pytest.raises(StudyError, match="guided timed with other settings.*evalkit bench --study"):
        read_speeds(study, pd.DataFrame())


@pytest.mark.parametrize("timed", [True, False])
def test_compiled_or_not_is_as_in_the_study(study, timed):
    """`compile` changes no image, so that it is no setting of one; the seconds it does change."""
    bench = content(compiled=["guided"] if timed else [], guided=[batch(1, 0.5)])
    file = study.root / "study.toml"
    both = {True: file.read_text().replace("[models.guided]", "[models.guided]\ncompile = true")}
    both[False] = file.read_text()
    file.write_text(both[timed])
    alike = type(study)(study.root)
    bench["models"][0]["settings"] = alike.study.models[0].settings()
    write_json(study.bench_file, bench)
    assert read_speeds(alike, pd.DataFrame())["compiled"].tolist() == [timed]
    file.write_text(both[not timed])
    said = "guided was timed {}, and study.toml has compile = {}; run: evalkit bench --study"
    words = ("compiled", "false") if timed else ("uncompiled", "true")
    with pytest.raises(StudyError, match=said.format(*words)):
        read_speeds(type(study)(study.root), pd.DataFrame())


@pytest.mark.parametrize("text", ["", "[]", '{"models": [{}]}'])
def test_a_file_that_is_no_bench_is_one_sentence(study, text):
    study.bench_file.write_text(text)
    with pytest.raises(StudyError, match=r"is not what evalkit bench writes.*delete the file"):
        read_speeds(study, pd.DataFrame())


def rated():
    return pd.DataFrame(
        {
            "question_id": "quality",
            "model": ["x", "y"],
            "rating": [0.5, -0.5],
            "ci_low": [0.3, np.nan],
            "ci_high": [0.7, np.nan],
            "method": ["Davidson; bootstrap", "Davidson; no interval: one prompt"],
        }
    )


def drawn(speed):
    return speed_figure(rated(), speed).axes[0]


def test_the_axis_says_what_the_seconds_are_and_no_two_sources_mix():
    bench = bench_speeds(content(x=[batch(1, 0.5)], y=[batch(1, 0.01)]))
    assert "from prompt to pixels, one image at a time" in drawn(bench).get_xlabel()
    random = bench_speeds(content(True, x=[batch(1, 0.5)], y=[batch(1, 0.01)]))
    assert "RANDOM WEIGHTS" in drawn(random).get_xlabel()
    generation = bench.assign(source="generation")
    assert "while the study's images were made" in drawn(generation).get_xlabel()
    with pytest.raises(ValueError, match="too many values"):
        drawn(pd.concat([bench, generation]))


def test_whiskers_are_whole_and_a_missing_interval_says_why():
    wide = bench_speeds(content(x=[batch(1, 0.5)], y=[batch(1, 0.01)]))
    wide["seconds_high"] = wide["seconds_median"] * 30
    wide["seconds_low"] = wide["seconds_median"] / 30
    axes = drawn(wide)
    low, high = axes.get_xlim()
    assert low < 0.01 / 30
    assert high > 0.5 * 30
    assert {text.get_text() for text in axes.texts} == {"x", "y\nno interval: one prompt"}


def test_table_and_figure_say_which_were_timed_compiled(tmp_path):
    bench = bench_speeds(content(compiled=["x"], x=[batch(1, 0.5)], y=[batch(1, 0.01)]))
    tables.write(bench, tmp_path / "speed.csv", tables.SPEED)
    speed = tables.read(tmp_path / "speed.csv", tables.SPEED)
    assert [text.get_text().split("\n")[:2] for text in drawn(speed).texts] == [
        ["x", "compiled"],
        ["y", "no interval: one prompt"],
    ]
    assert speed_sheet(speed, "").notes == ["Measured on GPU.", "Timed compiled: x."]
    assert speed_sheet(speed[speed["model"] == "y"], "").notes == ["Measured on GPU."]
