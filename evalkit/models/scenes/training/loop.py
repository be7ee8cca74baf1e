"""The loop of every stage: resume, step, print, save; a kill at any moment costs two minutes."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Protocol

import numpy as np

from evalkit.models.scenes.training.checkpoints import (
    CpuClock,
    load_checkpoint,
    note_cost,
    save_checkpoint,
)

SECONDS_PER_CHECKPOINT = 120
STEPS_PER_LINE = 50


class Stateful(Protocol):
    """A network or optimizer: something that can be saved and taken over."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> object: ...


class Learner(Protocol):
    """What a stage trains: its parts, and one update of them."""

    def parts(self) -> dict[str, Stateful]:
        """Everything that a resume needs."""

    def step(self, number: int) -> dict[str, float]:
        """Make update `number`, drawing chance from that number only; gives numbers to print."""


def run_loop(
    learner: Learner,
    work: Path,
    name: str,
    *,
    steps: int,
    batch: int,
    rank: int = 0,
    ranks: int = 1,
    stop_after: int | None = None,
) -> bool:
    """Bring the learner to `steps` updates (or `stop_after`) from `NAME-state.pt`.

    True on the first rank when all updates are made; the cost is then noted.
    """
    path, first, clock = work / f"{name}-state.pt", 0, CpuClock()
    state = load_checkpoint(path)
    if state is not None:
        for key, part in learner.parts().items():
            part.load_state_dict(state["parts"][key])
        first, clock = state["step"], CpuClock(state["cpu_seconds"] / ranks)
    until = min(steps, stop_after or steps)
    saved, lines = time.time(), _Lines(name, steps, batch)
    for number in range(first, until):
        lines.note(number, learner.step(number), clock.seconds * ranks, quiet=rank > 0)
        due = time.time() - saved > SECONDS_PER_CHECKPOINT
        if rank == 0 and (due or number + 1 == until):
            saved = time.time()
            parts = {key: part.state_dict() for key, part in learner.parts().items()}
            seconds = clock.seconds * ranks
            save_checkpoint(path, {"parts": parts, "step": number + 1, "cpu_seconds": seconds})
    finished = rank == 0 and until == steps
    if finished:
        note_cost(work, name, clock.seconds * ranks, samples=steps * batch)
    return finished


class _Lines:
    """Prints the mean of the numbers every fifty steps."""

    def __init__(self, name: str, steps: int, batch: int) -> None:
        self.name, self.steps, self.batch = name, steps, batch
        self.numbers, self.since = defaultdict(list), time.time()

    def note(self, number: int, numbers: dict[str, float], cpu: float, *, quiet: bool) -> None:
        for key, value in numbers.items():
            self.numbers[key].append(value)
        if quiet or (number + 1) % STEPS_PER_LINE:
            return
        count = len(next(iter(self.numbers.values())))
        speed = count * self.batch / (time.time() - self.since)
        means = " ".join(f"{key} {np.mean(values):.4f}" for key, values in self.numbers.items())
        print(
            f"{self.name} step {number + 1}/{self.steps} {means} {speed:.0f} samples/s "
            f"cpu {cpu:.0f} s",
            flush=True,
        )
        self.numbers, self.since = defaultdict(list), time.time()
