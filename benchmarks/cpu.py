"""The built-in models on the CPU: whole runs against the plain loop, threads, and single choices.

Each run is a process of its own, since threads learn at its start how to wait:
`python -m benchmarks.cpu TASK` prints its seconds.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import contenders
from evalkit.models import resolve

PARTS = ("runs", "threads", "png", "kernels")
MODELS = ("scenes-turbo", "scenes-lcm", "scenes-base")
ALL = "all three"
CONTENDERS = {"plain": "plain loop", "batched": "plain, batches of 8", "evalkit": "evalkit"}
IMAGES = 96  # of each model
GOAL = 2.0  # times the plain loop
QUIET = 0.5  # load of a machine that does nothing else
MOMENT, OWN = "3000 turns, then passive", "the library's own"
WAITING = {  # how threads wait for each other; the first is what the evalkit command sets
    MOMENT: {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    OWN: {},
}
THREADS_MODEL = "scenes-base"

Seconds = dict[str, dict[str, list[float]]]  # by contender and model, one per round


def measure(parts: list[str], rounds: int, load: float) -> list[str]:
    """The parts, as lines of Markdown; `load` is the machine's before the first of them."""
    lines = []
    if "runs" in parts:
        lines += [*runs_table(time_runs(rounds), load), ""]
    if "threads" in parts:
        lines += [*_threads(rounds), ""]
    for part in ("png", "kernels"):
        if part in parts:
            lines += [*_printed("benchmarks.kernels", [part, str(rounds)], MOMENT, None), ""]
    return lines[:-1]


def time_runs(rounds: int) -> Seconds:
    """Seconds of each contender's run of each model; the contenders take turns in every round."""
    found: Seconds = {name: {model: [] for model in MODELS} for name in CONTENDERS}
    for _ in range(rounds):
        for model in MODELS:
            for name, seconds in found.items():
                waiting = MOMENT if name == "evalkit" else OWN
                seconds[model].append(_run(name, model, waiting, None))
                print(f"{model}, {CONTENDERS[name]}: {seconds[model][-1]:.2f} s", flush=True)
    for seconds in found.values():
        seconds[ALL] = [sum(each) for each in zip(*seconds.values(), strict=True)]
    return found


def runs_table(found: Seconds, load: float) -> list[str]:
    """What `time_runs` gave, with the verdict on the goal."""
    rounds = len(found["plain"][ALL])
    return [
        "### Built-in models on the CPU",
        "",
        f"{IMAGES} images of each model: seconds of loading, making and writing them, so loading "
        "is counted for all three alike (starting Python and importing the libraries for none). "
        f"{_spread(rounds)}, each run in a process of its own.",
        "",
        f"| model | {' | '.join(CONTENDERS.values())} | plain loop / evalkit |",
        "|---|" + "---|" * (len(CONTENDERS) + 1),
        *(_row(model, found) for model in (*MODELS, ALL)),
        "",
        _verdict(_ratio(ALL, found), load),
    ]


def _spread(rounds: int) -> str:
    return f"Median of {rounds} interleaved rounds (fastest to slowest)"


def _cell(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def _row(model: str, found: Seconds) -> str:
    cells = [_cell(seconds[model]) for seconds in found.values()]
    return f"| {model} | {' | '.join(cells)} | {_ratio(model, found):.2f} |"


def _ratio(model: str, found: Seconds) -> float:
    return median(found["plain"][model]) / median(found["evalkit"][model])


def _verdict(ratio: float, load: float) -> str:
    goal = f"Goal, {ALL} at least {GOAL:g} times the plain loop: {ratio:.2f} times, "
    if load > QUIET:  # other work slows spinning threads, so the plain loop, more than evalkit
        return (
            f"{goal}not established: before the first run the load was {load:.1f}, so the machine "
            f"had other work; run it again where the load is at most {QUIET:g}."
        )
    return f"{goal}{'reached' if ratio >= GOAL else 'NOT reached'}."


def _threads(rounds: int) -> list[str]:
    """evalkit's own run with one thread, and with all of them waiting in each way."""
    cores = os.cpu_count() or 1
    ways = {("1", "(none to wait for)"): (1, MOMENT)}
    ways |= {(str(cores), waiting): (cores, waiting) for waiting in WAITING}
    found: dict[tuple[str, str], list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (threads, waiting) in ways.items():
            found[name].append(_run("evalkit", THREADS_MODEL, waiting, threads))
            print(f"threads {', '.join(name)}: {found[name][-1]:.2f} s", flush=True)
    return [
        "### Threads",
        "",
        f"evalkit's run of {IMAGES} images of {THREADS_MODEL}, loading counted: seconds. "
        f"{_spread(rounds)}. The evalkit command sets OMP_WAIT_POLICY=PASSIVE and "
        "GOMP_SPINCOUNT=3000: 3000 turns, then passive.",
        "",
        "| threads | how they wait | seconds |",
        "|---|---|---|",
        *(f"| {' | '.join(name)} | {_cell(seconds)} |" for name, seconds in found.items()),
    ]


def _run(name: str, model: str, waiting: str, threads: int | None) -> float:
    """Seconds of one run."""
    with tempfile.TemporaryDirectory() as folder:
        task = json.dumps({"name": name, "model": model, "n": IMAGES, "out": f"{folder}/out"})
        return float(_printed("benchmarks.cpu", [task], waiting, threads)[-1])


def _printed(module: str, given: list[str], waiting: str, threads: int | None) -> list[str]:
    """The lines that a module prints, run in a process of its own."""
    ours = ("OMP_", "GOMP_")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    chosen = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    done = subprocess.run(
        [sys.executable, "-m", module, *given],
        cwd=Path(__file__).parents[1],
        env={**plain, **WAITING[waiting], **chosen},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.splitlines()


def _task(name: str, model: str, n: int, out: str) -> float:
    spec = resolve(model, {}, "benchmark")
    if name == "plain":
        return contenders.plain(spec, n, Path(out), "cpu")
    if name == "batched":
        return contenders.batched(spec, n, Path(out), "cpu", 8)
    return contenders.evalkit(spec, n, Path(out), "cpu", None)


if __name__ == "__main__":
    print(_task(**json.loads(sys.argv[1])))
