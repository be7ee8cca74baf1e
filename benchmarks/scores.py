"""Speed of the CLIP score beside torchmetrics, interleaved in one run; see README.md.

Prints the tables and adds them to RESULTS.md.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.results import QUIET, RESULTS, add_section, processor
from benchmarks.score_runs import ARCHITECTURE, BATCH, MODELS, SEEDS, SIDE, make_study, make_weights

PARTS = ("speed", "memory")
ROUNDS = 3
IMAGES = 96
MORE = 4  # times as many images, for the memory
THREADS = 2
GOALS = {"batches": 2.0, "singly": 5.0}  # times as many images a second
NAMES = {
    "evalkit": "evalkit",
    "batches": f"torchmetrics, batches of {BATCH}, as documented",
    "updates": f"torchmetrics, `update` with batches of {BATCH}",
    "singly": "torchmetrics, per image",
    "again": "evalkit, all known",
}
_VERSIONS = ("evalkit", "torch", "torchvision", "open_clip_torch", "torchmetrics", "transformers",
             "pillow")  # fmt: skip

Runs = dict[str, list[dict[str, Any]]]  # of each contender, one per round


def main() -> None:
    """Run the parts that were asked for, and write down what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file it is added to")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    parts = given.part or PARTS
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        weights = Path(place) / "clip"
        make_weights(weights)
        make_study(Path(place) / "few", given.images)
        if "speed" in parts:
            lines += [
                *speed_table(time_runs(Path(place), weights, given.rounds), given.images, load),
                "",
            ]
        if "memory" in parts:
            make_study(Path(place) / "many", MORE * given.images)
            lines += [*memory_table(measure_memory(Path(place), weights), given.images), ""]
    used = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    where = (
        f"{processor()}; {os.cpu_count()} cores, {THREADS} threads; Python "
        f"{platform.python_version()}; {used}; load before: {load:.1f}"
    )
    add_section(where, lines[:-1], given.results)


def time_runs(place: Path, weights: Path, rounds: int) -> Runs:
    """Each contender's runs; they take turns in every round."""
    found: Runs = {name: [] for name in NAMES}
    for _ in range(rounds):
        shutil.rmtree(place / "few" / "cache", ignore_errors=True)
        for name, runs in found.items():
            runs.append(_run(name, place / "few", weights))
            print(f"{NAMES[name]}: {runs[-1]['seconds']:.2f} s", flush=True)
    return found


def speed_table(found: Runs, n: int, load: float) -> list[str]:
    """What `time_runs` gave, with the verdict on the goals."""
    ours = median(run["seconds"] for run in found["evalkit"])
    means = {name: runs[0]["mean"] for name, runs in found.items()}
    return [
        f"### CLIP score of {n} images on the CPU",
        "",
        f"{ARCHITECTURE} with random weights, the same tensors for all; {n} PNG files of {SIDE}x"
        f"{SIDE}, {MODELS * SEEDS} of each prompt. From files to scores, the model loaded. Median "
        f"of {len(found['evalkit'])} interleaved rounds (slowest to fastest), each run in a "
        "process of its own.",
        "",
        "| | images a second | seconds | loading, seconds | peak GB | evalkit is faster | mean |",
        "|---|---|---|---|---|---|---|",
        *(_row(name, runs, n, ours) for name, runs in found.items()),
        "",
        _verdict(found, ours, load),
        "",
        "As documented, torchmetrics computes each batch twice and gives the mean of a batch; "
        "`update` computes it once and gives one mean of all. A score per image needs a call per "
        f"image there. The means differ by {abs(means['evalkit'] - means['updates']):.3f}, since "
        "its processor resizes by torchvision, and the model's own preprocessing by Pillow.",
    ]


def measure_memory(place: Path, weights: Path) -> dict[str, dict[str, Any]]:
    """A run of evalkit on few and on many images, with nothing known."""
    found = {}
    for study in ("few", "many"):
        shutil.rmtree(place / study / "cache", ignore_errors=True)
        found[study] = _run("evalkit", place / study, weights)
        print(f"memory, {study}: {found[study]['peak'] / 1e9:.2f} GB", flush=True)
    return found


def memory_table(found: dict[str, dict[str, Any]], n: int) -> list[str]:
    """What `measure_memory` gave."""
    counts = {"few": n, "many": MORE * n}
    more = found["many"]["peak"] - found["few"]["peak"]
    return [
        "### Memory of scoring",
        "",
        "| images | peak GB | images a second |",
        "|---|---|---|",
        *(
            f"| {counts[study]} | {run['peak'] / 1e9:.2f} | {counts[study] / run['seconds']:.1f} |"
            for study, run in found.items()
        ),
        "",
        f"{(MORE - 1) * n} more images take {more / 1e6:+.0f} MB more.",
    ]


def _row(name: str, runs: list[dict[str, Any]], n: int, ours: float) -> str:
    seconds = [run["seconds"] for run in runs]
    rate = f"{n / median(seconds):.1f} ({n / max(seconds):.1f} to {n / min(seconds):.1f})"
    load = median(run["load"] for run in runs)
    peak = max(run["peak"] for run in runs) / 1e9
    times = f"{median(seconds) / ours:.2f} times"
    mean = runs[0]["mean"]
    return (
        f"| {NAMES[name]} | {rate} | {median(seconds):.2f} | {load:.1f} | {peak:.2f} | {times} | "
        f"{mean:.3f} |"
    )


def _verdict(found: Runs, ours: float, load: float) -> str:
    said = []
    for name, goal in GOALS.items():
        times = median(run["seconds"] for run in found[name]) / ours
        reached = "reached" if times >= goal else "MISSED"
        said.append(f"at least {goal:g} times {NAMES[name]}: {reached} ({times:.2f})")
    busy = f" Before it the load was {load:.1f}: other work ran." if load > QUIET else ""
    return f"Goals: {'; '.join(said)}.{busy}"


def _run(name: str, root: Path, weights: Path) -> dict[str, Any]:
    task = json.dumps({"name": name, "root": str(root), "weights": str(weights)})
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.score_runs", task],
        cwd=Path(__file__).parents[1],
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(THREADS),
            "OMP_WAIT_POLICY": "PASSIVE",
            "GOMP_SPINCOUNT": "3000",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
