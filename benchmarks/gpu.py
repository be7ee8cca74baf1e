"""SDXL on one GPU with random weights at full size: latency, throughput, and against its peers."""

import tempfile
from collections.abc import Callable
from functools import partial
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import contenders
from evalkit.models import DiffusionModel, resolve
from evalkit.pipelines import OutOfMemoryError, Request, random_weights
from evalkit.pipelines.memory import free_memory
from evalkit.pipelines.timing import PARTS as TIMED
from evalkit.pipelines.timing import time_calls, time_pipeline

LATENCY_MS, RATE, TIMES = 30.0, 40.0, 4.0  # the goals
GOALS = {  # by part
    "latency": f"one 512x512 image of SDXL-Turbo in at most {LATENCY_MS:g} ms",
    "throughput": f"SDXL-Turbo at least {RATE:g} images/s and {TIMES:g} times the plain loop",
    "base": "SDXL base, 50 steps at 1024x1024, no slower than the plain pipeline",
}
PARTS = tuple(GOALS)
BATCH_SIZES = (8, 16, 32)  # evalkit takes 32 at most by itself
IMAGES, PLAIN_IMAGES = 512, 48  # by which the long run is longer
REPEATS = 30

Run = Callable[[int, Path], float]  # n images into a folder; gives seconds


def measure(parts: list[str], rounds: int, device: str = "cuda") -> list[str]:
    """The parts, as lines of Markdown."""
    turbo = resolve("sdxl-turbo", {}, "benchmark")
    base = resolve("sdxl", {}, "benchmark")
    lines = ["### On a GPU, random weights", ""]
    if "latency" in parts:
        lines += [*latency(turbo, device, REPEATS), ""]
    if "throughput" in parts:
        lines += [*throughput(turbo, device, rounds, IMAGES, PLAIN_IMAGES), ""]
    if "base" in parts:
        lines += [*against_plain(base, device, rounds), ""]
    return lines[:-1]


def latency(spec: DiffusionModel, device: str, repeats: int) -> list[str]:
    """One image at a time: the parts, uncompiled and compiled."""
    lines = [
        f"One {spec.width}x{spec.height} image of {spec.name}, ms: median (quartiles of the whole) "
        f"of {repeats}.",
        "",
        "| | " + " | ".join(TIMED) + " |",
        "|---|" + "---|" * len(TIMED),
    ]
    for name, compiled in (("as loaded", False), ("compile = true", True)):
        own = spec.model_copy(update={"compile": compiled})
        pipeline = random_weights.load(own, device)
        numbers = iter(range(10**9))
        timed = time_pipeline(
            pipeline, lambda numbers=numbers: [_request(next(numbers))], repeats, device
        )
        pipeline.close()
        cells = [f"{_ms(timed[part]['seconds_median'])}" for part in TIMED]
        whole = timed["whole"]
        cells[-1] += f" ({_ms(whole['seconds_low'])} to {_ms(whole['seconds_high'])})"
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    reached = 1000 * whole["seconds_median"] <= LATENCY_MS
    return [*lines, "", f"Goal, at most {LATENCY_MS:g} ms: {_said(reached)}."]


def throughput(
    spec: DiffusionModel,
    device: str,
    rounds: int,
    images: int,
    plain_images: int,
    sizes: tuple[int, ...] = BATCH_SIZES,
) -> list[str]:
    """Images per second once warm, from the prompts to the files, against the plain loop."""
    with tempfile.TemporaryDirectory() as folder:
        saved = _saved(spec, Path(folder), device)
        runs: dict[str, tuple[Run, int, int]] = {
            "plain loop": (partial(_plain, saved, device), 1, plain_images)
        }
        for size in sizes:
            ways = {"plain": contenders.batched, "evalkit": contenders.evalkit}
            for name, way in ways.items():
                run = partial(_in_batches, way, saved, device, size)
                runs[f"{name}, batches of {size}"] = (run, size, images)
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(rounds):
            for k, (name, run) in enumerate(runs.items()):
                rates[name].append(_rate(*run, Path(folder) / f"{number}-{k}"))
                print(f"{name}: {rates[name][-1]:.1f} images/s", flush=True)
    return rate_table(spec, {name: median(found) for name, found in rates.items()}, rounds)


def rate_table(spec: DiffusionModel, rates: dict[str, float], rounds: int) -> list[str]:
    """Images per second by contender, with the verdict on the goals."""
    fit = [name for name in rates if name.startswith("evalkit") and not isnan(rates[name])]
    best = max(fit, key=rates.__getitem__, default=None)
    if best is None:
        verdict = "No run of evalkit gave a rate. Goals: NOT reached."
    else:
        ratio = rates[best] / rates["plain loop"]
        verdict = (
            f"Best: {best}, {ratio:.1f} times the plain loop. Goals, at least {RATE:g} images/s: "
            f"{_said(rates[best] >= RATE)}; at least {TIMES:g} times: {_said(ratio >= TIMES)}."
        )
    return [
        f"{spec.name}, {spec.width}x{spec.height}, uncompiled, PNG files written; images/s, from "
        "the difference of two whole runs, one batch and more, so that loading and the first call "
        f"count for none; median of {rounds} interleaved rounds (nan: out of memory).",
        "",
        "| | images/s |",
        "|---|---|",
        *(f"| {name} | {rate:.1f} |" for name, rate in rates.items()),
        "",
        verdict,
    ]


def against_plain(spec: DiffusionModel, device: str, rounds: int) -> list[str]:
    """One call of evalkit's pipeline against the plain one at its best, in turn."""
    own = random_weights.load(spec.model_copy(update={"compile": True}), device)
    target = torch.device(device)
    architecture = random_weights.find(spec)
    plain = random_weights.build(architecture, target, getattr(torch, spec.precision))
    _at_its_best(plain)
    numbers = iter(range(10**9))

    def call_plain() -> Any:
        number = next(numbers)
        return plain(
            contenders.prompts(number + 1)[-1],
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance,
            width=spec.width,
            height=spec.height,
            generator=torch.Generator("cpu").manual_seed(number),
        )

    calls = {
        "plain, compiled": call_plain,
        "evalkit, compile = true": lambda: own.render([_request(next(numbers))]),
    }
    synchronise = torch.cuda.synchronize if target.type == "cuda" else lambda: None
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(time_calls(call, 3, synchronise).seconds_median)
            print(f"{name}: {found[name][-1]:.3f} s", flush=True)
    middle = {name: median(seconds) for name, seconds in found.items()}
    plain_seconds, own_seconds = middle.values()
    return [
        f"{spec.name}, {spec.steps} steps at {spec.width}x{spec.height}, one image; seconds, "
        f"median of {rounds} interleaved rounds.",
        "",
        "| | seconds |",
        "|---|---|",
        *(f"| {name} | {seconds:.3f} |" for name, seconds in middle.items()),
        "",
        f"Goal, no slower (within 2%): {_said(own_seconds <= 1.02 * plain_seconds)}.",
    ]


def _at_its_best(library: Any) -> None:
    """As the library's page on speed has it: channels last, no upcast, compiled."""
    library.set_progress_bar_config(disable=True)
    library.unet.to(memory_format=torch.channels_last)
    library.vae.to(memory_format=torch.channels_last)
    library.vae.register_to_config(force_upcast=False)
    mode = "reduce-overhead" if library.device.type == "cuda" else "default"
    library.unet = torch.compile(library.unet, mode=mode, fullgraph=True)
    library.vae.decode = torch.compile(library.vae.decode, mode=mode, fullgraph=True)


def _saved(spec: DiffusionModel, folder: Path, device: str) -> DiffusionModel:
    """The model with random weights as a checkpoint on disk, so that each loads it its own way."""
    target = torch.device(device)
    dtype = getattr(torch, spec.precision)
    library = random_weights.build(random_weights.find(spec), target, dtype)
    library.save_pretrained(folder / "checkpoint")
    del library
    free_memory()
    changes = {"repository": str(folder / "checkpoint"), "variant": None, "revision": None}
    return spec.model_copy(update=changes)


def _plain(spec: DiffusionModel, device: str, n: int, out: Path) -> float:
    return contenders.plain(spec, n, out, device)


def _in_batches(
    way: Callable[..., float], spec: DiffusionModel, device: str, size: int, n: int, out: Path
) -> float:
    return way(spec, n, out, device, size)


def _rate(run: Run, size: int, images: int, out: Path) -> float:
    try:
        return contenders.steady_rate(run, size, images, out)
    except (OutOfMemoryError, torch.OutOfMemoryError):
        return float("nan")
    finally:
        free_memory()


def _request(number: int) -> Request:
    return Request(f"p{number}", contenders.prompts(number + 1)[-1], number)


def _said(reached: bool) -> str:
    return "reached" if reached else "NOT reached"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"
