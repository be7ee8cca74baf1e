"""Data-parallel ranks: one thread per process, gradients averaged in one flat all-reduce."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_ranks(stage: Callable[..., None], work: Path, processes: int, **options: object) -> None:
    """Run `stage(work, rank, ranks, **options)` in `processes` processes and wait for all."""
    os.environ["OMP_NUM_THREADS"] = "1"
    meeting = work / f"meeting-{os.getpid()}"
    meeting.unlink(missing_ok=True)
    mp.spawn(_enter, args=(stage, work, processes, str(meeting), options), nprocs=processes)
    meeting.unlink(missing_ok=True)


def _enter(
    rank: int, stage: Callable[..., None], work: Path, ranks: int, meeting: str, options: dict
) -> None:
    # Two threads on each of two busy cores collapse: one each.
    torch.set_num_threads(1)
    if ranks > 1:
        store = dist.FileStore(meeting, ranks)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    stage(work, rank, ranks, **options)
    if ranks > 1:
        dist.destroy_process_group()


def average_gradients(parameters: list[torch.nn.Parameter], ranks: int) -> None:
    """Replace each gradient by its mean over the ranks."""
    if ranks == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.reshape(-1) for parameter in parameters])
    dist.all_reduce(flat)
    flat /= ranks
    start = 0
    for parameter in parameters:
        stop = start + parameter.numel()
        parameter.grad.copy_(flat[start:stop].view_as(parameter))
        start = stop


def own_share(size: int, rank: int, ranks: int) -> slice:
    """The part of a global batch that belongs to a rank."""
    each = size // ranks
    return slice(rank * each, (rank + 1) * each)
