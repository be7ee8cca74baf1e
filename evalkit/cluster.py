"""A Ray cluster: reached or started, and what of it a run's workers need."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evalkit.errors import StudyError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before Ray is loaded, which reads them
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

__all__ = [
    "RayActorError",
    "RayError",
    "RayTaskError",
    "cluster",
    "placement",
    "ray",
    "reason",
]

_OBJECT_STORE = 80 * 2**20  # bytes; records, prompts and embeddings travel, images never


@contextmanager
def cluster(command: str, address: str | None = None) -> Iterator[None]:
    """A connection to the cluster at `address` (or RAY_ADDRESS), or one of this machine meanwhile.

    Raises StudyError, which begins with `command`, where no cluster can be used.
    """
    if ray.is_initialized():  # by the caller, who also ends it
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE}
    try:
        _knock(address)
        ray.init(
            address or "local",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **({} if address else own),
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise StudyError(
            f"{command}: no Ray cluster can be used at {address or 'this machine'} "
            f"({reason(error)}); start one with: ray start --head, or correct --address or "
            "RAY_ADDRESS"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """OSError where nobody listens at `HOST:PORT`: Ray itself would try for minutes."""
    found = re.fullmatch(r"(?:ray://)?(?P<host>[^/]+):(?P<port>\d+)", address or "")
    if found is not None:
        socket.create_connection((found["host"], int(found["port"])), timeout=10).close()


def placement(command: str, device: str | None, workers: int | None) -> tuple[int, dict[str, Any]]:
    """How many workers, and what each needs of the cluster; StudyError where it has not that."""
    if device not in (None, "cpu", "cuda"):
        raise StudyError(
            f"{command}: --device {device} names one device, and --engine ray hands them "
            "out; leave it out, or write cpu or cuda"
        )
    resources = ray.cluster_resources()
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    on_gpus = device == "cuda" or (device is None and gpus > 0)
    machines = sum(node["Alive"] for node in ray.nodes())
    wanted = workers or (gpus if on_gpus else machines)
    most, what = (gpus, "GPUs") if on_gpus else (cores, "cores")
    if not 1 <= wanted <= most:
        raise StudyError(
            f"{command}: {wanted} workers, and the Ray cluster has {most} {what}; a worker needs "
            "one; lower --workers"
        )
    needs = {"num_gpus": 1, "num_cpus": 0} if on_gpus else {"num_cpus": 1}
    return wanted, {"scheduling_strategy": "SPREAD", **needs}


def reason(error: BaseException) -> str:
    """The first line of what an error of Ray says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
