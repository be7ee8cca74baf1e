"""Kills the app with -9 at random moments under annotators who vote, and compares every vote.

`benchmarks/faults.py --kills 1000` is the long form of tests/test_faults.py; it prints what it
found and adds it to RESULTS.md. What is killed is the worker that `evalkit serve` starts, with its
routes, page, guard and store; forked.py says what is shortened.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.annotators import Annotator, Habits, crowd
from benchmarks.forked import Workers
from benchmarks.kept import Kept, compare, faults
from benchmarks.results import RESULTS, add_section, machine
from benchmarks.studies import STORES, voting_study
from evalkit.study_folder import StudyFolder

# About two presses in a second (the app lets one annotator post five), one in ten corrected.
HABITS = Habits(seconds=0.5, undo=0.1, images=False, retry_seconds=0.1)
LIVES = (0.05, 0.7)  # seconds from a worker's first answer to its end
NOW = "2030-01-01T10:00:00.000+00:00"
_PATIENCE = 60.0  # seconds in which everybody must come to their end after the last kill


@dataclass(frozen=True)
class Ordeal:
    """What came of it: how long it took, what is kept, and what the annotators met meanwhile."""

    kills: int
    seconds: float
    kept: Kept
    faults: Counter


def ordeal(folder: StudyFolder, annotators: int, kills: int, workers: int, seed: int) -> Ordeal:
    """Kill the workers of the study's app in turn, under so many annotators who vote.

    The moments follow from the seed. Nobody stops before all that they pressed is acknowledged;
    TimeoutError where that does not come to pass.
    """
    begun = time.perf_counter()
    crew = Workers(folder, workers)
    urls = [f"http://127.0.0.1:{port}" for port in crew.ports]
    people = crowd(folder, annotators, urls, HABITS, NOW, seed)
    with crew:
        asyncio.run(_vote_while_killed(crew, people, kills, random.Random(seed)))
    seconds = time.perf_counter() - begun
    return Ordeal(kills, seconds, compare(folder.store_address, people), faults(people))


async def _vote_while_killed(
    crew: Workers, people: list[Annotator], kills: int, rng: random.Random
) -> None:
    stop = asyncio.Event()
    await asyncio.gather(*(crew.answers(number) for number in range(len(crew.ports))))
    voting = [
        asyncio.create_task(person.sit(stop, rng.uniform(0, HABITS.seconds))) for person in people
    ]
    for kill in range(kills):
        number = kill % len(crew.ports)
        await crew.answers(number)
        await asyncio.sleep(rng.uniform(*LIVES))
        await asyncio.to_thread(crew.kill, number)
        crew.start(number)
        for task in voting:
            if task.done():
                task.result()  # an error of an annotator's ends it all
    stop.set()
    await asyncio.wait_for(asyncio.gather(*voting), _PATIENCE)


def lines(found: Ordeal, store: str, annotators: int, workers: int) -> list[str]:
    """What came of it, as Markdown."""
    kept = found.kept
    met = ", ".join(f"{name}: {n:,}" for name, n in found.faults.most_common()) or "nothing else"
    return [
        "### Killed with -9",
        "",
        f"{found.kills:,} kills of {workers} workers in turn at random moments in "
        f"{found.seconds:,.0f} s, under {annotators} annotators who vote over HTTP; {store}.",
        "",
        "| pressed | acknowledged | stored | of these corrections | lost | doubled | altered |",
        "|---|---|---|---|---|---|---|",
        f"| {len(kept.pressed):,} | {len(kept.acknowledged):,} | {kept.rows:,} "
        f"| {kept.corrections:,} | {kept.lost} | {kept.doubled} | {kept.altered} |",
        "",
        f"What the annotators met: {met}.",
    ]


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", choices=STORES, default=STORES[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file it is added to")
    return parser


def main() -> None:
    """Run the ordeal that was asked for; exit code 1 where a vote was lost, doubled or altered."""
    given = arguments().parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as root:
        folder = voting_study(Path(root) / "study", given.store, trials=10_000, viewing_size=64)
        found = ordeal(folder, given.annotators, given.kills, given.workers, given.seed)
    text = lines(found, given.store, given.annotators, given.workers)
    add_section(machine(load), text, given.results)
    sys.exit(1 if found.kept.lost + found.kept.doubled + found.kept.altered else 0)


if __name__ == "__main__":
    main()
