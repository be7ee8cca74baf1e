"""The engines of scoring: in this process, or on workers of a Ray cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

from evalkit.errors import EvalkitError
from evalkit.pipelines import require_device
from evalkit.scoring.metric_run import Compute, Engine, Run
from evalkit.scoring.worker import Worker

ENGINES = ("local", "ray")


def require_engine(name: str, workers: int | None, device: str | None) -> None:
    """EvalkitError where a run could not begin, whatever its metric; see `load_engine`."""
    load_engine(name, workers)
    if device is not None and name == "local":
        require_device(device)


def load_engine(name: str, workers: int | None) -> Engine:
    """The engine of this name; EvalkitError where it is unknown, not installed, or one process is
    to have workers."""
    if name not in ENGINES:
        raise EvalkitError(f'score: engine "{name}"; allowed are local, ray; name one of them')
    if name == "local":
        if workers is not None:
            raise EvalkitError("score: --workers is for Ray; add --engine ray, or leave it out")
        return _local
    if find_spec("ray") is None:
        raise EvalkitError(
            "score: --engine ray needs the package ray, which is not installed; run: "
            'pip install "evalkit[ray]"'
        )
    from evalkit.scoring.ray import ray_engine

    return partial(ray_engine, workers=workers)


@contextmanager
def _local(run: Run) -> Iterator[Compute]:
    yield Worker(run.job, run.metric).compute
