"""Speed of generation, side by side and interleaved in one run; see README.md.

python benchmarks/generation.py [--cpu] [--gpu]: both, where a GPU is there. Prints a table and adds
it to RESULTS.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import contenders, gpu, kernels
from evalkit.models import resolve
from evalkit.pipelines.timing import hardware

RESULTS = Path(__file__).parent / "RESULTS.md"
ROUNDS = 3
CPU_MODELS = ("scenes-turbo", "scenes-lcm", "scenes-base")
CPU_IMAGES = 48  # of each model
CPU_GOAL = 2.0  # times the plain loop
QUIET = 0.5  # load of a machine that does nothing else
WAITING = {  # how threads wait for each other; the first is what the evalkit command sets
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "3000 turns, then passive": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"},
    "the library's own": {},
}
PEER = "the library's own"


def main() -> None:
    """Run the parts that were asked for, and write down what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="only the built-in models on the CPU")
    parser.add_argument("--gpu", action="store_true", help="only SDXL with random weights")
    parser.add_argument("--part", choices=gpu.PARTS, help="one part of --gpu")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return _child(json.loads(given.child))
    lines = []
    if given.cpu or not given.gpu:
        lines += [*_cpu(given.rounds), "", *_threads(given.rounds), "", *kernels.measure(), ""]
    if given.gpu or not given.cpu:
        if torch.cuda.is_available():
            parts = [given.part] if given.part else list(gpu.PARTS)
            lines += gpu.measure(parts, given.rounds)
        else:
            lines += ["### On a GPU", "", f"Skipped: no CUDA device here. Missing: {gpu.MISSING}."]
    _write(lines, given.results)
    return None


def _cpu(rounds: int) -> list[str]:
    """Whole runs of the built-in models, each contender in a fresh process, in turn."""
    load = os.getloadavg()[0]
    found = {name: {model: [] for model in CPU_MODELS} for name in ("plain", "batched", "evalkit")}
    for _ in range(rounds):
        for model in CPU_MODELS:
            for name, seconds in found.items():
                waiting = "passive" if name == "evalkit" else PEER
                run = _run(name, model, CPU_IMAGES, waiting, None)
                seconds[model].append(run["seconds"])
                print(f"{model}, {name}: {run['seconds']:.2f} s", flush=True)
    for seconds in found.values():
        seconds["all three"] = [sum(each) for each in zip(*seconds.values(), strict=True)]
    return [
        "### Built-in models on the CPU",
        "",
        f"{CPU_IMAGES} images of each model: seconds of loading, making and writing them; median "
        f"of {rounds} interleaved rounds, each run in a process of its own. In brackets the "
        "fastest round, which other work on the machine disturbed least: the load before was "
        f"{load:.1f} on {os.cpu_count()} cores.",
        "",
        "| model | plain loop | plain, batches of 8 | evalkit | plain loop / evalkit |",
        "|---|---|---|---|---|",
        *(_row(model, found) for model in (*CPU_MODELS, "all three")),
        "",
        _verdict(found, load),
    ]


def _row(model: str, found: dict[str, dict[str, list[float]]]) -> str:
    cells = [f"{median(s[model]):.2f} ({min(s[model]):.2f})" for s in found.values()]
    middle, least = _ratios(model, found)
    return f"| {model} | {' | '.join(cells)} | {middle:.2f} ({least:.2f}) |"


def _ratios(model: str, found: dict[str, dict[str, list[float]]]) -> tuple[float, float]:
    """The plain loop's seconds over evalkit's: of the medians, and of the fastest rounds."""
    plain, own = found["plain"][model], found["evalkit"][model]
    return median(plain) / median(own), min(plain) / min(own)


def _verdict(found: dict[str, dict[str, list[float]]], load: float) -> str:
    reached = "reached" if min(_ratios("all three", found)) >= CPU_GOAL else "NOT reached"
    if load > QUIET:  # other work slows spinning threads, so the plain loop, more than evalkit
        reached = "not established, since the machine did other work; run it on a quiet one"
    return f"Goal, all three at least {CPU_GOAL:g} times: {reached}."


def _threads(rounds: int) -> list[str]:
    """evalkit's own run with one or all threads, and with each way of waiting."""
    lines = [
        "### Threads",
        "",
        f"The same evalkit runs, seconds, median of {rounds} (fastest).",
        "",
        "| model | threads | " + " | ".join(WAITING) + " |",
        "|---|---|" + "---|" * len(WAITING),
    ]
    for model in ("scenes-turbo", "scenes-base"):
        for threads in (1, os.cpu_count()):
            cells = []
            for waiting in WAITING:
                runs = [_run("evalkit", model, CPU_IMAGES, waiting, threads) for _ in range(rounds)]
                seconds = [run["seconds"] for run in runs]
                cells.append(f"{median(seconds):.2f} ({min(seconds):.2f})")
            lines.append(f"| {model} | {threads} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines


def _run(name: str, model: str, n: int, waiting: str, threads: int | None) -> dict[str, float]:
    """One run in a process of its own."""
    ours = ("OMP_", "GOMP_")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    chosen = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    with tempfile.TemporaryDirectory() as folder:
        task = json.dumps({"name": name, "model": model, "n": n, "out": f"{folder}/out"})
        done = subprocess.run(
            [sys.executable, __file__, "--child", task],
            env={**plain, **WAITING[waiting], **chosen},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _child(task: dict[str, object]) -> None:
    spec = resolve(task["model"], {}, "benchmark")
    out = Path(task["out"])
    if task["name"] == "plain":
        run = contenders.plain(spec, task["n"], out, "cpu")
    elif task["name"] == "batched":
        run = contenders.batched(spec, task["n"], out, "cpu", 8)
    else:
        run = contenders.evalkit(spec, task["n"], out, "cpu", None)
    print(json.dumps(asdict(run)))


def _write(lines: list[str], results: Path) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = hardware(device)
    machine = f"{found['device_name']}; {found['cores']} cores"
    if found["cuda"]:
        machine += f"; driver {found['driver']}, CUDA {found['cuda']}"
    used = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    head = [f"## {datetime.now(UTC):%Y-%m-%d}", "", f"{machine}; Python {found['python']}; {used}"]
    text = "\n".join(["", *head, "", *lines, ""])
    print(text)
    with results.open("a", encoding="utf-8") as stream:
        stream.write(text)


if __name__ == "__main__":
    main()
