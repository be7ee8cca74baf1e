"""Annotators at work on `evalkit serve`, on this machine, for a given time: how long votes take.

They speak HTTP as the page does (annotators.py) and share the processor with the app. It prints
what it found and adds it to RESULTS.md; it stops by itself. `--soak 1200` is the same for twenty
minutes, long enough to see whether the memory is flat.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.annotators import Annotator, Habits, crowd
from benchmarks.kept import Kept, compare, faults
from benchmarks.results import QUIET, RESULTS, add_section, machine
from benchmarks.studies import STORES, voting_study
from evalkit.study_folder import StudyFolder

GOAL_MS = 50.0  # p95 of the acknowledged vote
FLAT = 0.02  # share of the memory by which the second half may end above its beginning
VIEWING_SIZE = 512  # px
NOW = "2030-01-01T10:00:00.000+00:00"
_ENTRIES = 20  # annotators who come in each second, before it is measured
_PATIENCE = 60.0  # seconds in which the app must start, and everybody leave


@dataclass(frozen=True)
class Sample:
    """The app's processes at one moment: seconds since the start, bytes, seconds of processor."""

    at: float
    memory: int
    processor: float


@dataclass(frozen=True)
class Load:
    """What was measured: `votes` and `images` are waits in seconds, `image_bytes` of one image.

    `own_processor` are the seconds of processor that the annotators themselves took.
    """

    seconds: float
    votes: np.ndarray
    images: np.ndarray
    image_bytes: float
    samples: list[Sample]
    own_processor: float
    kept: Kept
    faults: Counter


def load(
    folder: StudyFolder, annotators: int, seconds: float, workers: int, habits: Habits, port: int
) -> Load:
    """Let so many annotators work for `seconds` on the study's app; see `Load`.

    They come in one after the other before it is measured.
    """
    urls = [f"http://127.0.0.1:{port + number}" for number in range(workers)]
    people = crowd(folder, annotators, urls, habits, NOW, seed=1)
    with served(folder, port, workers) as processes:
        begun, own, samples = asyncio.run(_work(people, seconds, processes))
    until = begun + seconds
    votes, images = (
        np.array([wait for waits in each for at, wait in waits if begun <= at < until])
        for each in zip(*((p.record.waits, p.record.image_waits) for p in people), strict=True)
    )
    fetched = sum(len(person.record.image_waits) for person in people)
    image_bytes = sum(person.record.image_bytes for person in people) / max(1, fetched)
    kept = compare(folder.store_address, people)
    return Load(seconds, votes, images, image_bytes, samples, own, kept, faults(people))


async def _work(
    people: list[Annotator], seconds: float, processes: list[psutil.Process]
) -> tuple[float, float, list[Sample]]:
    """When it began, this process's own seconds of processor in it, and a sample per second."""
    stop = asyncio.Event()
    sitting = [
        asyncio.create_task(person.sit(stop, number / _ENTRIES))
        for number, person in enumerate(people)
    ]
    await asyncio.sleep(len(people) / _ENTRIES + 2 * people[0].habits.seconds)
    begun, own = time.perf_counter(), time.process_time()
    samples = []
    while (passed := time.perf_counter() - begun) < seconds:
        samples.append(_sample(processes, passed))
        for task in sitting:
            if task.done():
                task.result()  # an error of an annotator's ends it all
        await asyncio.sleep(min(1.0, seconds - passed))
    samples.append(_sample(processes, time.perf_counter() - begun))
    own = time.process_time() - own
    stop.set()
    await asyncio.wait_for(asyncio.gather(*sitting), _PATIENCE)
    return begun, own, samples


def _sample(processes: list[psutil.Process], at: float) -> Sample:
    times = [process.cpu_times() for process in processes]
    return Sample(
        at,
        memory=sum(process.memory_info().rss for process in processes),
        processor=sum(each.user + each.system for each in times),
    )


@contextmanager
def served(folder: StudyFolder, port: int, workers: int) -> Iterator[list[psutil.Process]]:
    """`evalkit serve` as a user starts it; its workers, as soon as all of them listen.

    They listen on `port` and the ports after it. Raises RuntimeError where they do not start.
    """
    command = [sys.executable, "-m", "evalkit.cli", "serve", str(folder.root)]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--workers", str(workers)],
        cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for _ in range(workers):
            line = process.stdout.readline()
            while line and not re.match("Annotators vote at ", line):
                line = process.stdout.readline()
            if not line:
                raise RuntimeError("evalkit serve did not start")
        yield psutil.Process(process.pid).children()
    finally:
        process.terminate()
        process.communicate(timeout=_PATIENCE)


def lines(found: Load, what: str, before: float) -> list[str]:
    """What was measured, as Markdown; `what` says of whom, `before` is the load before it."""
    votes, images = 1000 * found.votes, 1000 * found.images
    first, last = found.samples[0], found.samples[-1]
    cores = (last.processor - first.processor) / (last.at - first.at)
    met = ", ".join(f"{name}: {n:,}" for name, n in found.faults.most_common()) or "none"
    return [
        "### Annotators at work",
        "",
        f"{what}; {found.seconds:,.0f} s, {len(votes):,} votes "
        f"({len(votes) / found.seconds:.0f} each second), {len(images):,} images of "
        f"{found.image_bytes / 1e6:.2f} MB. From the press to the acknowledgement, in ms:",
        "",
        "| | p50 | p95 | p99 | longest |",
        "|---|---|---|---|---|",
        _row("vote", votes),
        _row("image", images),
        "",
        f"Errors: {met}. Votes lost {found.kept.lost}, doubled {found.kept.doubled}, altered "
        f"{found.kept.altered} of {found.kept.rows:,}. Processor: the app {cores:.2f} cores, the "
        f"annotators {found.own_processor / found.seconds:.2f}.",
        "",
        *_memory(found.samples),
        "",
        _verdict(found, before),
    ]


def _row(name: str, values: np.ndarray) -> str:
    cells = [f"{value:.1f}" for value in np.percentile(values, [50, 95, 99, 100])]
    return f"| {name} | {' | '.join(cells)} |"


def _memory(samples: list[Sample]) -> list[str]:
    """Of all workers together, at the start of each minute and at the end."""
    minutes = {int(one.at // 60): one for one in reversed(samples)}  # of each the first
    shown = [minutes[minute] for minute in sorted(minutes)]
    cells = [f"{one.memory / 2**20:.0f}" for one in (*shown, samples[-1])]
    return [
        f"Memory of the app by the minute, MiB: {', '.join(cells)}; in the second half it grew by "
        f"{100 * growth(samples):.1f}%."
    ]


def growth(samples: list[Sample]) -> float:
    """By what share the memory grew in the second half, by a straight line through it."""
    half = samples[len(samples) // 2 :]
    at, memory = (np.array([getattr(one, name) for one in half]) for name in ("at", "memory"))
    slope = np.polyfit(at, memory, 1)[0]
    return float(slope * (at[-1] - at[0]) / memory.mean())


def _verdict(found: Load, before: float) -> str:
    p95 = 1000 * np.percentile(found.votes, 95)
    goals = {
        f"p95 of a vote at most {GOAL_MS:g} ms ({p95:.1f})": p95 <= GOAL_MS,
        "no error": not found.faults,
        "no vote lost or doubled": found.kept.lost + found.kept.doubled + found.kept.altered == 0,
        f"memory flat within {100 * FLAT:g}% ({100 * growth(found.samples):.1f}%)": (
            growth(found.samples) <= FLAT
        ),
    }
    text = "; ".join(
        f"{goal}: {'reached' if met else 'NOT reached'}" for goal, met in goals.items()
    )
    busy = f" Before it the load was {before:.1f}: the machine had other work." * (before > QUIET)
    return f"Goals: {text}.{busy}"


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    duration = parser.add_mutually_exclusive_group()
    duration.add_argument("--seconds", type=float, default=60)
    duration.add_argument("--soak", type=float, help="seconds; memory is what counts")
    parser.add_argument("--annotators", type=int, default=400)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds from vote to vote")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", choices=STORES, default=STORES[0])
    parser.add_argument("--port", type=int, default=18501, help="the first one of the workers")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file it is added to")
    return parser


def main() -> None:
    """Measure what was asked for; exit code 1 where there were errors or a vote was lost."""
    given = arguments().parse_args()
    before = os.getloadavg()[0]
    seconds = given.soak or given.seconds
    trials = int(1.2 * (seconds + given.annotators / _ENTRIES) / given.pause) + 50
    with tempfile.TemporaryDirectory() as root:
        folder = voting_study(Path(root) / "study", given.store, trials, VIEWING_SIZE)
        habits = Habits(seconds=given.pause, socket=True)
        found = load(folder, given.annotators, seconds, given.workers, habits, given.port)
    what = (
        f"{given.annotators} annotators, a vote per {given.pause:g} s each; "
        f"{given.workers} workers; {given.store}"
    )
    add_section(machine(before), lines(found, what, before), given.results)
    sys.exit(1 if found.faults or found.kept.lost or found.kept.doubled else 0)


if __name__ == "__main__":
    main()
