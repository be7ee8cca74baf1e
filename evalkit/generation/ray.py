"""The Ray engine: workers on the GPUs (or CPUs) of a cluster, each with one loaded model."""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from evalkit.cluster import (
    RayActorError,
    RayError,
    RayTaskError,
    cluster,
    placement,
    ray,
    reason,
)
from evalkit.errors import ModelError, StudyError
from evalkit.files import is_file, part_name, remove, write_bytes
from evalkit.generation.batches import Wanted
from evalkit.generation.made_with import require_same
from evalkit.generation.record import Record
from evalkit.generation.task import Options, Render, Task, Written
from evalkit.generation.worker import Worker
from evalkit.models import ModelSpec
from evalkit.study_folder import StudyFolder

_AHEAD = 2  # batches a worker has at once: one is rendered while the other is written
_TRIES = 3  # workers that may die of one batch, or as they load one model
_LOOK_AGAIN = 1.0  # seconds between two looks at who has started
_SAY_AFTER = 30.0  # seconds of waiting for a place in the cluster
_GIVE_UP_AFTER = 600.0  # seconds in which no worker at all has one


@contextmanager
def ray_engine(folder: StudyFolder, options: Options) -> Iterator[Render]:
    """Render on a Ray cluster: that of `address` (or of RAY_ADDRESS), or one of this machine.

    Workers have a GPU each, all GPUs of the cluster without `workers`; without GPUs, or with the
    device `cpu`, as many on CPUs as `workers` says (without it, one per machine, which uses all
    its cores). They read and write the study's images themselves. A worker that dies is replaced
    and its batches are made again.

    Raises StudyError where the cluster cannot be reached or has not so many GPUs or cores, where
    it gives no place to a worker, or fails, and where a worker does not see the study's images.
    """
    with cluster("generate", options.address):
        crew = _Crew(folder, options)
        try:
            yield crew.render
        except RayError as error:
            raise StudyError(
                f"generate: the Ray cluster failed ({type(error).__name__}: {reason(error)}); "
                "what is made is kept; look at its machines (ray status), and run again"
            ) from error
        finally:
            crew.close()


class RemoteWorker:
    """A worker in a process of its own on the cluster; two calls at once, one of them rendering.

    It loads and renders on one thread: PyTorch keeps CUDA graphs for the thread that made them.
    """

    def __init__(self, threads: str | None) -> None:
        # Ray gives a process one OpenMP thread. Another number sums in another order, and images
        # would differ in their last bits from those of the local engine.
        os.environ.pop("OMP_NUM_THREADS", None)
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
        self._worker: Worker | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="renderer")

    def is_there(self) -> bool:
        """True, as soon as the cluster has given the worker its place."""
        return True

    def load(
        self, folder: StudyFolder, spec: ModelSpec, device: str | None, sign: str
    ) -> tuple[dict[str, Any], int]:
        """Load a model in place of the one before; gives what it is made with, its batch size."""
        if not is_file(folder.images / sign):
            raise StudyError(
                f"{folder.images}: the worker on {ray.util.get_node_ip_address()} does not see "
                "this folder; give [images] an address on an object store (see "
                "docs/cluster.md), or put the study on a disk that all machines share"
            )
        return self._thread.submit(self._load, folder, spec, device).result()

    def render(self, batch: list[Wanted], size: int) -> list[Record]:
        """Make and write a batch; gives its records once they lie."""
        written = self._thread.submit(self._render, batch, size).result()
        return [record.result() for record in written]

    def _load(
        self, folder: StudyFolder, spec: ModelSpec, device: str | None
    ) -> tuple[dict[str, Any], int]:
        before, self._worker = self._worker, None
        if before is not None:
            before.close()
        self._worker = Worker(folder, spec, device)
        return self._worker.made_with, self._worker.batch_size

    def _render(self, batch: list[Wanted], size: int) -> list[Future[Record]]:
        return self._worker.render(batch, size)


class _Crew:
    """The workers of a run, and which batch is with whom."""

    def __init__(self, folder: StudyFolder, options: Options) -> None:
        self._folder, self._options = folder, options
        self._workers: set[Any] = set()
        self._wanted, place = _placement(options)
        self._kind = ray.remote(RemoteWorker).options(max_concurrency=_AHEAD, **place)
        self._queue = _Queue("GPUs" if place.get("num_gpus") else "cores", options.say)
        self._sign = folder.images / part_name()
        write_bytes(self._sign, b"")

    def render(self, task: Task, written: Written) -> None:
        """Make the missing images of a model; ModelError where that cannot be."""
        shift = _Shift(task, self._options.batch_size or task.batch_size(), written)
        while not shift.is_over():
            while len(self._workers) < min(self._wanted, len(task.missing)):
                worker = self._kind.remote(os.environ.get("OMP_NUM_THREADS"))
                self._workers.add(worker)
                self._queue.add(worker)
            for worker in self._workers - shift.present:
                device = "cpu" if self._options.device == "cpu" else None
                shift.begin(
                    worker, worker.load.remote(task.folder, task.spec, device, self._sign.name)
                )
            shift.hand_out()
            self._drop(shift.wait())
            self._queue.look(len(self._workers))
        # Those that have not loaded by now would begin the next model with this one.
        for worker in shift.loading():
            ray.kill(worker)
            self._drop({worker})
        if shift.problem is not None:
            raise shift.problem

    def close(self) -> None:
        """Give the machines back."""
        for worker in self._workers:
            ray.kill(worker)
        remove(self._sign)

    def _drop(self, workers: set[Any]) -> None:
        self._workers -= workers
        self._queue.drop(workers)


class _Queue:
    """The workers that the cluster has not given a place yet, and since when."""

    def __init__(self, places: str, say: Callable[[str], None]) -> None:
        self._places, self._say = places, say
        self._waiting: dict[Any, Any] = {}  # Ray's reference to the first answer, by worker
        self._since = time.monotonic()  # all had a place, or none was waited for
        self._none_since = self._since  # some had one
        self._has_said = False

    def add(self, worker: Any) -> None:
        """A worker that was asked for."""
        if not self._waiting:
            self._since = self._none_since = time.monotonic()
        self._waiting[worker] = worker.is_there.remote()

    def drop(self, workers: set[Any]) -> None:
        """Workers that are no more."""
        for worker in workers:
            self._waiting.pop(worker, None)

    def look(self, n_workers: int) -> None:
        """Say once where places are missing for long; StudyError where all of them are."""
        now = time.monotonic()
        answers = list(self._waiting.values())
        there = ray.wait(answers, num_returns=len(answers), timeout=0)[0] if answers else []
        self._waiting = {w: answer for w, answer in self._waiting.items() if answer not in there}
        missing = len(self._waiting)
        if missing < n_workers or not missing:
            self._none_since = now
        if not missing:
            self._since, self._has_said = now, False
        if now - self._since > _SAY_AFTER and not self._has_said:
            self._say(
                f"waiting for {missing} {self._places} of the Ray cluster, which others use or "
                f"which are gone; {n_workers - missing} workers are at work"
            )
            self._has_said = True
        if now - self._none_since > _GIVE_UP_AFTER:
            raise StudyError(
                f"generate: the Ray cluster gave no worker a place in "
                f"{_GIVE_UP_AFTER / 60:.0f} minutes; others use its {self._places}, or its "
                "machines are gone (ray status shows them); what is made is kept; run again when "
                "they are there, or elsewhere"
            )


class _Shift:
    """The work on one model: batches in order, to whoever is free, again where a worker died."""

    def __init__(self, task: Task, size: int | None, written: Written) -> None:
        self._task, self._size, self._written = task, size, written
        self._batches: Iterator[list[Wanted]] | None = None
        self._again: deque[list[Wanted]] = deque()
        self._under_way: dict[Any, tuple[Any, list[Wanted] | None]] = {}  # by Ray's reference
        self._loads: dict[Any, int] = {}  # batches with each loaded worker
        self._lost: Counter[str] = Counter()
        self._made_with: dict[str, Any] | None = None
        self.present: set[Any] = set()
        self.problem: ModelError | None = None

    def begin(self, worker: Any, load: Any) -> None:
        """A worker that loads the model."""
        self.present.add(worker)
        self._under_way[load] = (worker, None)

    def loading(self) -> set[Any]:
        """Workers that are not ready yet."""
        return {worker for worker, batch in self._under_way.values() if batch is None}

    def is_over(self) -> bool:
        """Whether no batch is under way and none is left."""
        busy = any(batch is not None for _, batch in self._under_way.values())
        if busy or self.problem is not None:
            return not busy
        if self._batches is None:  # nobody has loaded yet
            return False
        batch = self._next()
        if batch is not None:
            self._again.appendleft(batch)
        return batch is None

    def hand_out(self) -> None:
        """Give each loaded worker its batches: the first to all, then the second."""
        for most in range(1, _AHEAD + 1):
            for worker in [worker for worker, load in self._loads.items() if load < most]:
                batch = None if self.problem else self._next()
                if batch is None:
                    return
                self._under_way[worker.render.remote(batch, self._size)] = (worker, batch)
                self._loads[worker] += 1

    def wait(self) -> set[Any]:
        """Wait for one answer, not for long; gives the worker where it has died."""
        answers, _ = ray.wait(list(self._under_way), num_returns=1, timeout=_LOOK_AGAIN)
        if not answers:
            return set()
        [answer] = answers
        worker, batch = self._under_way.pop(answer)
        try:
            result = ray.get(answer)
            if batch is None:
                self._loaded(worker, *result)
            else:
                self._loads[worker] -= 1
                self._written(result)
        except RayActorError as error:
            self._bury(worker, batch, error)
            return {worker}
        except RayTaskError as error:
            self._stop(error.cause)
        except ModelError as error:
            self._stop(error)
        return set()

    def _loaded(self, worker: Any, made_with: dict[str, Any], size: int) -> None:
        self._task.require_alike(made_with)
        self._made_with = self._made_with or made_with
        require_same(self._task.spec.name, self._made_with, made_with)
        self._size = self._size or size
        self._batches = self._batches or self._task.batches(self._size)
        self._loads[worker] = 0
        self._lost["loading"] = 0

    def _next(self) -> list[Wanted] | None:
        return self._again.popleft() if self._again else next(self._batches, None)

    def _bury(self, worker: Any, batch: list[Wanted] | None, error: RayActorError) -> None:
        """Take back what a dead worker had; a problem where too many died of the same."""
        self._loads.pop(worker, None)
        if batch is not None:
            self._again.append(batch)
        cause = "loading" if batch is None else batch[0].image_id
        self._lost[cause] += 1
        if self._lost[cause] >= _TRIES and self.problem is None:
            what = "while loading" if batch is None else f"on the batch of image {cause}"
            self.problem = ModelError(
                f"models.{self._task.spec.name}: {_TRIES} workers died {what} "
                f"({reason(error)}); look for a machine that ran out of memory or was taken away, "
                "lower --batch-size or --workers, and run again: what is made is kept"
            )

    def _stop(self, error: BaseException) -> None:
        if not isinstance(error, ModelError):
            raise error
        self.problem = self.problem or error


def _placement(options: Options) -> tuple[int, dict[str, Any]]:
    return placement("generate", options.device, options.workers)
