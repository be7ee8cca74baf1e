"""Models -> how long each takes on this device, as a JSON file and a table to read."""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from evalkit.analysis import is_compiled
from evalkit.errors import ModelError, listed, nearest
from evalkit.models import ImportedModel, ModelSpec, resolve
from evalkit.pipelines import OutOfMemoryError, Pipeline, Request, load_pipeline, require_device
from evalkit.study_folder import StudyFolder

PROMPT = "a photograph of a lighthouse on a rocky coast at dusk, number {number}"
_TIMING, _RANDOM = "evalkit.pipelines.timing", "evalkit.pipelines.random_weights"
_PARTS = ("encode", "denoise", "decode")
_MS = 1000
_GIB = 2**30

Progress = Callable[[int, int, str], None]


def read_batch_sizes(text: str) -> tuple[int, ...]:
    """`1,8` as numbers; ModelError where one is not a whole number above 0."""
    sizes = [size.strip() for size in text.split(",")]
    for size in sizes:
        if not re.fullmatch(r"[1-9][0-9]{0,3}", size):
            raise ModelError(
                f'bench: --batch: "{size}"; allowed are numbers of images from 1 to 9999, such as '
                "--batch 1,8; correct it"
            )
    return tuple(dict.fromkeys(int(size) for size in sizes))


def choose_models(names: Sequence[str], folder: StudyFolder | None) -> list[ModelSpec]:
    """The named models of the catalogue, or of the study (none named: all that can be timed).

    Raises ModelError on a name that is not there, on none at all, and on images made elsewhere.
    """
    if folder is None:
        if not names:
            raise ModelError("bench: no model is named; name some, or a study with --study STUDY")
        specs = [resolve(name, {}, "bench") for name in dict.fromkeys(names)]
    else:
        known = {spec.name: spec for spec in folder.study.models}
        for name in names:
            if name not in known:
                raise ModelError(
                    f'bench: unknown model "{name}"; {folder.root} has {listed(known)}'
                    f"{nearest(name, known)}"
                )
        timed = [name for name in known if not isinstance(known[name], ImportedModel)]
        specs = [known[name] for name in dict.fromkeys(names or timed)]
    for spec in specs:
        if isinstance(spec, ImportedModel):
            raise ModelError(
                f"bench: the images of {spec.name} were made elsewhere, so there is nothing to "
                "time; leave it out"
            )
    return specs


def bench(
    specs: Sequence[ModelSpec],
    *,
    batch_sizes: Sequence[int] = (1,),
    repeats: int = 20,
    device: str | None = None,
    random_weights: bool = False,
    now: str,
    root: Path = Path(),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Time each model at each batch size; gives what `bench.json` holds.

    Keys: date, random_weights, repeats, parts (what each is), hardware, models; a model has model,
    settings, made_with and batches; a batch has batch_size and either what `time_pipeline` gives or
    `problem`, why it could not be timed, such as memory. `root` is the study folder, from where
    the models' folders are looked up. Raises ModelError where a model cannot be loaded or run at
    all.
    """
    require_device(device or "cpu")  # also says so where what makes images is not installed
    timing = import_module(_TIMING)
    hardware = timing.hardware(device)
    show = progress or (lambda done, total, label: None)
    total, done, models = len(specs) * len(batch_sizes), 0, []
    for spec in specs:
        show(done, total, spec.name)
        load = import_module(_RANDOM).load if random_weights else load_pipeline
        batches = []
        with closing(load(spec.located(root), device)) as pipeline, _inputs(spec) as requests:
            for size in batch_sizes:
                batches.append(_batch(pipeline, requests, size, repeats, device))
                done += 1
                show(done, total, spec.name)
            said = {"model": spec.name, "settings": spec.settings()}
            models.append({**said, "made_with": pipeline.made_with, "batches": batches})
    return {
        "date": now,
        "random_weights": random_weights,
        "repeats": repeats,
        "parts": timing.PARTS,
        "hardware": hardware,
        "models": models,
    }


def bench_lines(result: dict[str, Any]) -> list[str]:
    """The result as text: the hardware, then a line per model and batch size."""
    hardware = result["hardware"]
    where = [hardware["device_name"], f"torch {hardware['versions']['torch']}"]
    where += [f"driver {hardware['driver']}, CUDA {hardware['cuda']}"] if hardware["cuda"] else []
    where += ["RANDOM WEIGHTS"] if result["random_weights"] else []
    head = ("model", "batch", *_PARTS, "whole", "quartiles", "per image", "GiB")
    rows = [head]
    for model in result["models"]:
        name = model["model"] + (", compiled" if is_compiled(model) else "")
        rows += [_row(name, batch) for batch in model["batches"]]
    full = [row for row in rows if len(row) == len(head)]
    widths = [max(len(row[column]) for row in full) for column in range(len(head))]
    lines = ["; ".join(where), f"ms, median of {result['repeats']}; denoise is one forward"]
    for row in rows:
        cells = zip(row, widths, strict=False)
        padded = [c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(cells)]
        lines.append("  ".join(padded).rstrip())
    return lines


def _batch(
    pipeline: Pipeline,
    requests: Callable[[int], list[Request]],
    size: int,
    repeats: int,
    device: str | None,
) -> dict[str, Any]:
    try:
        timed = import_module(_TIMING).time_pipeline(
            pipeline, lambda: requests(size), repeats, device
        )
    except OutOfMemoryError as error:
        return {"batch_size": size, "problem": str(error)}
    return {"batch_size": size, **timed}


@contextmanager
def _inputs(spec: ModelSpec) -> Iterator[Callable[[int], list[Request]]]:
    """Gives requests, as many as asked for, each with a prompt of its own."""
    numbers = count()
    with tempfile.TemporaryDirectory() as folder:
        image = _input_image(Path(folder), spec) if spec.takes_image else None

        def requests(n: int) -> list[Request]:
            made = [next(numbers) for _ in range(n)]
            return [Request(f"p{k}", PROMPT.format(number=k), k, image) for k in made]

        yield requests


def _input_image(folder: Path, spec: ModelSpec) -> Path:
    """A picture to start from, with something to see everywhere."""
    from PIL import Image

    file = folder / "input.png"
    gradient = Image.linear_gradient("L").resize((spec.width, spec.height))
    Image.merge("RGB", [gradient, gradient.rotate(90), gradient.rotate(180)]).save(file)
    return file


def _row(name: str, batch: dict[str, Any]) -> tuple[str, ...]:
    if "problem" in batch:
        return name, str(batch["batch_size"]), batch["problem"]
    whole, peak = batch["whole"], batch["peak_memory_bytes"]
    parts = [batch[part] for part in _PARTS]
    medians = [_ms(part["seconds_median"]) if part else "-" for part in parts]
    return (
        name,
        str(batch["batch_size"]),
        *medians,
        _ms(whole["seconds_median"]),
        f"{_ms(whole['seconds_low'])} to {_ms(whole['seconds_high'])}",
        _ms(batch["seconds_per_image"]),
        "-" if peak is None else f"{peak / _GIB:.1f}",
    )


def _ms(seconds: float) -> str:
    return f"{_MS * seconds:.1f}"
