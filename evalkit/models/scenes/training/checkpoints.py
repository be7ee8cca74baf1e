"""Checkpoints of a stage: written whole or not at all, and found again after any kill."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state beside `path` and rename, so that a kill leaves the old one."""
    draft = path.with_suffix(".draft")
    torch.save(state, draft)
    draft.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The last state, or None where there is none."""
    return torch.load(path, weights_only=True) if path.exists() else None


def seeded(stage: int, step: int) -> torch.Generator:
    """The random numbers of one step of one stage: the same after a resume as without one."""
    return torch.Generator().manual_seed(stage * 10_000_000 + step)


class CpuClock:
    """CPU-seconds of one process over all its resumes."""

    def __init__(self, before: float = 0.0) -> None:
        self._before = before - time.process_time()

    @property
    def seconds(self) -> float:
        """CPU-seconds so far."""
        return self._before + time.process_time()


def note_cost(work: Path, stage: str, seconds: float, **facts: Any) -> None:
    """Add a finished stage's CPU-seconds and facts to `costs.json`."""
    path = work / "costs.json"
    costs = json.loads(path.read_text()) if path.exists() else {}
    costs[stage] = {"cpu_seconds": round(seconds), **facts}
    path.write_text(json.dumps(costs, indent=2) + "\n")
