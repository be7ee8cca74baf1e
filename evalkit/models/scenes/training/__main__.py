"""Command line of the training: runs every stage that is not done, resuming where it stopped."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

PACKAGE = "evalkit.models.scenes.training"


@dataclass(frozen=True)
class Stage:
    """One stage: its name, the file that says it is done, and its usual cost in CPU-seconds.

    `kind` is alone (one process), ranks (data-parallel) or whole (takes the process count).
    """

    name: str
    done: str
    kind: str
    samples: int | None
    cpu_seconds: int


STAGES = (
    Stage("data", "tokens.npy", "whole", None, 170),
    Stage("text", "text.pt", "alone", None, 60),
    Stage("codec", "codec.pt", "alone", None, 400),
    Stage("classifier", "classifier.pt", "alone", None, 160),
    Stage("clip", "clip.pt", "alone", None, 650),
    Stage("teacher", "teacher.pt", "ranks", 600_000, 3_000),
    Stage("consistency", "consistency.pt", "ranks", 120_000, 1_300),
    Stage("turbo", "turbo.pt", "ranks", 90_000, 1_200),
    Stage("export", "exported.txt", "alone", None, 5),
    Stage("card", "card.txt", "alone", None, 300),
)


def stage_function(name: str) -> Callable[..., None]:
    """The function of a stage: `train_<name>`, or `make_<name>` where nothing is trained."""
    module = import_module(f"{PACKAGE}.{name}")
    return getattr(module, f"train_{name}", None) or getattr(module, f"make_{name}")


def run_alone(name: str, work: Path) -> None:
    """Run a stage that needs one process, on one thread."""
    import torch

    torch.set_num_threads(1)
    stage_function(name)(work)


def run_stage(stage: Stage, work: Path, processes: int, samples: int | None) -> None:
    """Run one stage to its end."""
    if stage.kind == "whole":
        stage_function(stage.name)(work, processes)
    elif stage.kind == "alone":
        run_alone(stage.name, work)
    else:
        from evalkit.models.scenes.training.ranks import run_ranks

        function = stage_function(stage.name)
        run_ranks(function, work, processes, samples=samples or stage.samples)


def run_side_by_side(stages: list[Stage], work: Path, processes: int) -> None:
    """Run stages that do not need one another, one process each."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for result in [pool.submit(run_alone, stage.name, work) for stage in stages]:
            result.result()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {PACKAGE}", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for data and checkpoints")
    names = [stage.name for stage in STAGES]
    parser.add_argument("--stage", choices=names, help="run this stage only, even if it is done")
    parser.add_argument("--processes", type=int, default=2, help="one thread each (default 2)")
    parser.add_argument(
        "--samples", type=int, help="training samples of the teacher, or of the stage named"
    )
    return parser.parse_args()


def main() -> None:
    """Run the named stage, or all stages that are not done, in order."""
    arguments = _arguments()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    waiting = [
        stage
        for stage in STAGES
        if stage.name == arguments.stage
        or (arguments.stage is None and not (work / stage.done).exists())
    ]
    while waiting:
        stage = waiting.pop(0)
        together = [stage]
        if stage.name in ("codec", "classifier", "clip"):
            together += [s for s in waiting if s.name in ("classifier", "clip")]
            waiting = [s for s in waiting if s not in together]
        names = ", ".join(s.name for s in together)
        usual = sum(s.cpu_seconds for s in together)
        print(f"{names}: usually {usual} CPU-seconds", flush=True)
        started = time.time()
        if len(together) > 1:
            run_side_by_side(together, work, arguments.processes)
        else:
            for_this = stage.name in ("teacher", arguments.stage)
            samples = arguments.samples if for_this else None
            run_stage(stage, work, arguments.processes, samples)
        print(f"{names}: done in {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
