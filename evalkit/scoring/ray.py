"""The Ray engine of scoring: workers on the GPUs or cores of a cluster, each with the metric."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from evalkit.cluster import RayError, RayTaskError, cluster, placement, ray, reason
from evalkit.errors import EvalkitError, StudyError
from evalkit.scoring.metric_run import Compute, Run
from evalkit.scoring.unit import Unit
from evalkit.scoring.worker import Done, Job, Worker

_AT_ONCE = 64  # units that are sent together: a few batches, so that reading stays ahead
_AHEAD = 2  # such parcels with each worker
_RESTARTS = 3  # of a worker that dies, and tries of what it had


@contextmanager
def ray_engine(run: Run, workers: int | None) -> Iterator[Compute]:
    """Compute on a Ray cluster: that of RAY_ADDRESS, or one of this machine.

    Workers are as in generation: a GPU each, or as many on CPUs as `workers` says. They read the
    images themselves; numbers come back and are kept by this process. A worker that dies begins
    anew, and with it what it had. Raises StudyError where the cluster cannot be had or fails, and
    what a worker raises.
    """
    with cluster("score"):
        n, place = placement("score", run.job.device, workers)
        kind = ray.remote(RemoteWorker).options(
            max_restarts=_RESTARTS, max_task_retries=_RESTARTS, **place
        )
        crew = [kind.remote(run.job, os.environ.get("OMP_NUM_THREADS")) for _ in range(n)]
        try:
            yield lambda units: _spread(crew, units)
        except RayTaskError as error:
            if isinstance(error.cause, EvalkitError):
                raise error.cause from None
            raise
        except RayError as error:
            raise StudyError(
                f"score: the Ray cluster failed ({type(error).__name__}: {reason(error)}); what "
                "is computed is kept; look at its machines (ray status), and run again"
            ) from error
        finally:
            for worker in crew:
                ray.kill(worker)


class RemoteWorker:
    """A worker in a process of its own on the cluster."""

    def __init__(self, job: Job, threads: str | None) -> None:
        # Ray gives a process one OpenMP thread. Another number sums in another order, and scores
        # would differ in their last digits from those of the local engine.
        os.environ.pop("OMP_NUM_THREADS", None)
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
        self._job = job
        self._worker: Worker | None = None

    def compute(self, units: list[Unit]) -> list[Done]:
        """The columns of the units, batch by batch; the metric is loaded at the first call."""
        if self._worker is None:  # an error of loading is then that of a call
            self._worker = Worker(self._job, self._job.load())
        return list(self._worker.compute(units))


def _spread(crew: list[Any], units: Iterable[Unit]) -> Iterator[Done]:
    """Hand parcels to whoever has fewest, never more than `_AHEAD` to one; give what comes back."""
    left = iter(units)
    free = deque(crew * _AHEAD)
    under_way: dict[Any, Any] = {}  # worker, by Ray's reference to its answer
    while True:
        while free and (parcel := list(islice(left, _AT_ONCE))):
            worker = free.popleft()
            under_way[worker.compute.remote(parcel)] = worker
        if not under_way:
            return
        [answer], _ = ray.wait(list(under_way), num_returns=1)
        free.append(under_way.pop(answer))
        yield from ray.get(answer)
