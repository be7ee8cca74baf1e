"""The local engine: one model after another, in batches, in this process."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from functools import partial

from evalkit.errors import ModelError
from evalkit.generation.record import Record
from evalkit.generation.task import Options, Render, Task, Written
from evalkit.generation.worker import Worker
from evalkit.pipelines import require_device
from evalkit.study_folder import StudyFolder

_WAITING_PIXELS = 2**25  # of rendered images that wait to be written: 100 MB, 128 of 512x512


@contextmanager
def local_engine(folder: StudyFolder, options: Options) -> Iterator[Render]:
    """Render in this process, on one device; ModelError where the named device is not there."""
    if options.device is not None:
        require_device(options.device)
    yield partial(_render, options)


def _render(options: Options, task: Task, written: Written) -> None:
    most = max(1, _WAITING_PIXELS // (task.spec.width * task.spec.height))
    with closing(Worker(task.folder, task.spec, options.device)) as worker:
        task.require_alike(worker.made_with)
        size = options.batch_size or task.batch_size() or worker.batch_size
        pending: deque[Future[Record]] = deque()
        try:
            for batch in task.batches(size):
                pending += worker.render(batch, size)
                _collect(pending, most, written)
        except ModelError:  # what was made before stays
            _collect(pending, 0, written)
            raise
        _collect(pending, 0, written)


def _collect(pending: deque[Future[Record]], most: int, written: Written) -> None:
    """Tell of what is written, in order; wait until at most `most` are not."""
    records = []
    while pending and (len(pending) > most or pending[0].done()):
        records.append(pending.popleft().result())
    if records:
        written(records)
