"""benchmarks/: what is measured and said of it, but for the size of the models and the GPU."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import contenders, cpu, generation, gpu
from evalkit.models import resolve
from evalkit.pipelines import diffusion, random_weights
from tests.miniatures import small
from tests.test_random_weights import MINIATURE


def test_the_rate_is_that_of_the_calls_however_late_one_hears_of_them(made, monkeypatch, tmp_path):
    """By a clock that only loading (5 s) and images (4 ms each) move: 250 images per second."""
    table = small("scenes-turbo", made["scenes_base"], unet_repository="", unet_subfolder="")
    spec = resolve("turbo", table, "turbo")
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(contenders, "time", types.SimpleNamespace(perf_counter=lambda: clock.now))
    load, render = diffusion.load, diffusion.DiffusionPipeline.render

    def slow_load(located, device):
        clock.now += 5
        return load(located, device)

    def slow_render(self, requests):
        clock.now += 0.004 * len(requests)
        return render(self, requests)

    monkeypatch.setattr(diffusion, "load", slow_load)
    monkeypatch.setattr(diffusion.DiffusionPipeline, "render", slow_render)

    def run(n, out):
        return contenders.evalkit(spec, n, out, "cpu", 4)

    assert contenders.steady_rate(run, 4, 16, tmp_path) == pytest.approx(250)
    assert clock.now == pytest.approx(2 * 5 + 24 * 0.004)
    assert np.isnan(contenders.steady_rate(lambda n, out: 1.0, 4, 16, tmp_path))


def test_the_cpu_table_says_what_was_measured():
    seconds = {"plain": (2.0, 8.0, 20.0), "batched": (1.0, 2.0, 4.0), "evalkit": (1.0, 2.0, 9.0)}
    found = {
        name: {model: [s, s / 2, 2 * s] for model, s in zip(cpu.MODELS, each, strict=True)}
        for name, each in seconds.items()
    }
    for each in found.values():
        each[cpu.ALL] = [sum(values) for values in zip(*each.values(), strict=True)]
    lines = cpu.runs_table(found, 0.1)
    assert "loading is counted for all three alike" in lines[2]
    assert "Median of 3 interleaved rounds" in lines[2]
    # 30 s of the plain loop, 12 s of evalkit.
    row = "| all three | 30.00 (15.00 to 60.00) | 7.00 (3.50 to 14.00) | 12.00 (6.00 to 24.00) |"
    assert f"{row} 2.50 |" in lines
    goal = "Goal, all three at least 2 times the plain loop: "
    assert lines[-1] == f"{goal}2.50 times, reached."
    assert cpu.runs_table(found, 3.2)[-1].startswith(
        f"{goal}2.50 times, not established: before the first run the load was 3.2,"
    )
    found["evalkit"][cpu.ALL] = [20.0, 20.0, 20.0]
    assert cpu.runs_table(found, 0.1)[-1] == f"{goal}1.50 times, NOT reached."


@pytest.mark.parametrize(
    ("args", "missing"),
    [
        (["--gpu"], gpu.PARTS),
        (["--part", "latency"], ["latency"]),
        (["--part", "base", "--rounds", "1"], ["base"]),
    ],
)
def test_without_a_gpu_it_says_what_is_missing(monkeypatch, tmp_path, args, missing):
    results = tmp_path / "results.md"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["generation.py", *args, "--results", str(results)])
    generation.main()
    said = "; ".join(gpu.GOALS[part] for part in missing)
    assert f"\nSkipped: no CUDA device here. Missing: {said}.\n" in results.read_text()


def test_every_command_of_the_benchmarks_page_is_one(monkeypatch, tmp_path):
    page = (Path(generation.__file__).parent / "README.md").read_text()
    given = re.findall(r"benchmarks/generation\.py([^`|]*)`", page)
    assert len(given) >= 4
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cpu, "measure", lambda parts, rounds, load: [*map(asked.append, parts)])
    monkeypatch.setattr(gpu, "measure", lambda parts, rounds: [*map(asked.append, parts)])
    monkeypatch.setattr(generation, "_write", lambda lines, load, results: None)
    for args in given:
        monkeypatch.setattr(sys, "argv", ["generation.py", *args.split()])
        generation.main()
    assert set(asked) == {*cpu.PARTS, *gpu.PARTS}


def test_no_size_that_fits_is_said():
    spec = resolve("sdxl-turbo", {}, "x")
    rates = {"plain loop": 5.0, "evalkit, batches of 8": float("nan")}
    assert gpu.rate_table(spec, rates, 1)[-1] == (
        "No run of evalkit gave a rate. Goals: NOT reached."
    )
    [best] = gpu.rate_table(spec, {**rates, "evalkit, batches of 16": 41.0}, 1)[-1:]
    assert best == (
        "Best: evalkit, batches of 16, 8.2 times the plain loop. Goals, at least 40 images/s: "
        "reached; at least 4 times: reached."
    )


def test_the_gpu_benchmarks_run_on_a_miniature(monkeypatch):
    """All that they do but for the size of the model, the GPU and the compiler."""
    known = dict.fromkeys(MINIATURE["repositories"], MINIATURE)
    monkeypatch.setattr(random_weights, "architectures", lambda: known)
    monkeypatch.setattr(torch, "compile", lambda run, **given: run)
    table = {"width": 32, "height": 32, "precision": "float32", "vae_precision": "float32"}
    turbo, base = (resolve(name, table, name) for name in ("sdxl-turbo", "sdxl"))
    lines = gpu.latency(turbo, "cpu", 2)
    assert [line.split("|")[1].strip() for line in lines[4:6]] == ["as loaded", "compile = true"]
    lines = gpu.throughput(turbo, "cpu", 1, images=4, plain_images=3, sizes=(2,))
    assert [line.split("|")[1].strip() for line in lines[4:7]] == [
        "plain loop",
        "plain, batches of 2",
        "evalkit, batches of 2",
    ]
    lines = gpu.against_plain(base.model_copy(update={"steps": 2}), "cpu", 1)
    assert "reached" in lines[-1]
