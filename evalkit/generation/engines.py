"""The engines by name: where the models run, each one function that renders a model's task."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

from evalkit.errors import EvalkitError
from evalkit.generation.task import Engine, Options, Task
from evalkit.models import CascadeModel, DiffusionModel
from evalkit.pipelines import count_gpus

ENGINES = ("local", "ray")


def choose_engine(tasks: Sequence[Task], options: Options, say: Callable[[str], None]) -> Engine:
    """The engine where the user names none, and a line about it where there was a choice.

    The local one; but where checkpoints are to be run on a machine with several GPUs, none of them
    named, Ray on all of them, if it is installed.
    """
    loads = any(isinstance(task.spec, DiffusionModel | CascadeModel) for task in tasks)
    gpus = count_gpus() if loads and options.device is None else 0
    if gpus < 2:
        return load_engine("local", options)
    if not _has_ray():
        say(f'1 of {gpus} GPUs is used; for all of them: pip install "evalkit[ray]"')
        return load_engine("local", options)
    say(f"{gpus} GPUs, with a worker on each (--engine ray)")
    return load_engine("ray", options)


def load_engine(name: str, options: Options) -> Engine:
    """The engine of this name; EvalkitError where it is unknown, not installed, or the options are
    not its own."""
    if name not in ENGINES:
        raise EvalkitError(f'generate: engine "{name}"; allowed are local, ray; name one of them')
    if name == "local":
        if options.workers is not None or options.address is not None:
            raise EvalkitError(
                "generate: --workers and --address are for Ray; add --engine ray, or leave them out"
            )
        from evalkit.generation.local import local_engine

        return local_engine
    if not _has_ray():
        raise EvalkitError(
            "generate: --engine ray needs the package ray, which is not installed; run: "
            'pip install "evalkit[ray]"'
        )
    from evalkit.generation.ray import ray_engine

    return ray_engine


def _has_ray() -> bool:
    return find_spec("ray") is not None
