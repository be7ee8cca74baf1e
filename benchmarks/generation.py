"""Speed of generation, side by side and interleaved in one run; see README.md.

Without an option: the parts on the CPU, then those on a GPU where one is there. Prints the tables
and adds them to RESULTS.md.
"""

import argparse
import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import cpu, gpu
from benchmarks.results import RESULTS, add_section
from evalkit.pipelines.timing import hardware

ROUNDS = 3


def main() -> None:
    """Run the parts that were asked for, and write down what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--cpu", action="store_true", help="only the built-in models on the CPU")
    which.add_argument("--gpu", action="store_true", help="only SDXL with random weights")
    which.add_argument("--part", choices=(*cpu.PARTS, *gpu.PARTS), help="only this part")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file it is added to")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    if given.part:
        parts = [given.part]
    else:
        parts = [*(() if given.gpu else cpu.PARTS), *(() if given.cpu else gpu.PARTS)]
    on_cpu = [part for part in cpu.PARTS if part in parts]
    on_gpu = [part for part in gpu.PARTS if part in parts]
    lines = cpu.measure(on_cpu, given.rounds, load) if on_cpu else []
    if on_gpu:
        lines += ["", *_gpu(on_gpu, given.rounds)] if lines else _gpu(on_gpu, given.rounds)
    _write(lines, load, given.results)


def _gpu(parts: list[str], rounds: int) -> list[str]:
    if torch.cuda.is_available():
        return gpu.measure(parts, rounds)
    missing = "; ".join(gpu.GOALS[part] for part in parts)
    return ["### On a GPU", "", f"Skipped: no CUDA device here. Missing: {missing}."]


def _write(lines: list[str], load: float, results: Path) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = hardware(device)
    machine = f"{found['device_name']}; {found['cores']} cores"
    if found["cuda"]:
        machine += f"; driver {found['driver']}, CUDA {found['cuda']}"
    used = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    where = f"{machine}; Python {found['python']}; {used}; load before: {load:.1f}"
    add_section(where, lines, results)


if __name__ == "__main__":
    main()
