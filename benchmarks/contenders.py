"""Ways to make the images of one model, each timed from loading to the last file on disk.

`plain`: the stock library pipeline as its documentation has it, one image per call, PNG saved as
Pillow does by itself. `batched`: the same pipeline at its own best settings: several images per
call, channels last, the autoencoder in the model's 16 bits. `evalkit`: a study folder and
`generate`, everything on.
"""

import csv
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from evalkit import generation
from evalkit.models import DiffusionModel
from evalkit.pipelines.devices import resolve_device, resolve_precision
from evalkit.pipelines.loading import load_library_pipeline
from evalkit.study_folder import StudyFolder

COLOURS = ("red", "blue", "green", "yellow", "white", "black")
SHAPES = ("circle", "square", "triangle", "star")


@dataclass(frozen=True)
class Run:
    """One run: images, seconds in all, and images per second after the first call."""

    images: int
    seconds: float
    steady_rate: float


def prompts(n: int) -> list[str]:
    """`n` different prompts."""
    return [
        f"{k} {COLOURS[k % 6]} {SHAPES[k % 4]}s above a {COLOURS[(k + 1) % 6]} house"
        for k in range(n)
    ]


def plain(spec: DiffusionModel, n: int, out: Path, device: str) -> Run:
    """The stock pipeline, one image per call."""
    return _library(spec, n, out, device, 1, _stock)


def batched(spec: DiffusionModel, n: int, out: Path, device: str, size: int) -> Run:
    """The stock pipeline at its own best settings, `size` images per call."""
    return _library(spec, n, out, device, size, _tuned)


def evalkit(spec: DiffusionModel, n: int, out: Path, device: str, size: int | None) -> Run:
    """`generate` on a study of this model; `size` None: the size that it chooses itself."""
    folder = _study(spec, n, out)
    marks = _Marks()
    generation.generate(
        folder,
        batch_size=size,
        device=device,
        progress=lambda done, total, model: marks.add(done),
    )
    return marks.run(n)


def _library(
    spec: DiffusionModel,
    n: int,
    out: Path,
    device: str,
    size: int,
    prepared: Callable[[object, torch.device], None],
) -> Run:
    marks = _Marks()
    target = resolve_device(device)
    pipeline = load_library_pipeline(
        spec, getattr(torch, resolve_precision(spec.precision, target))
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(target)
    prepared(pipeline, target)
    out.mkdir(parents=True)
    texts = prompts(n)
    for start in range(0, n, size):
        batch = texts[start : start + size]
        images = pipeline(
            batch if size > 1 else batch[0],
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance,
            width=spec.width,
            height=spec.height,
            generator=[torch.Generator("cpu").manual_seed(start + k) for k in range(len(batch))],
        ).images
        for number, image in enumerate(images, start=start):
            image.save(out / f"{number}.png")
        marks.add(start + len(batch))
    return marks.run(n)


def _stock(pipeline: object, device: torch.device) -> None:
    pass


def _tuned(pipeline: object, device: torch.device) -> None:
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.vae.to(memory_format=torch.channels_last)
    if getattr(pipeline.vae.config, "force_upcast", False) and device.type == "cuda":
        # The documentation's way is another autoencoder that does not overflow in float16; it has
        # the same architecture, so it takes as long as this one without its upcast.
        pipeline.vae.register_to_config(force_upcast=False)


def _study(spec: DiffusionModel, n: int, root: Path) -> StudyFolder:
    root.mkdir(parents=True)
    with (root / "own.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["prompt"], *([text] for text in prompts(n))])
    settings = spec.model_dump(exclude_defaults=True, exclude=set(spec.SAID) - {"compile"})
    lines = ['name = "bench"', "seed = 1", "[prompts]", 'source = "own.csv"', "[images]"]
    lines += ["seeds = [0]", "[models.timed]"]
    lines += [f"{key} = {_toml(value)}" for key, value in settings.items()]
    # A study has two models at least; only the first is made here.
    lines += [
        "[models.other]",
        'images = "own"',
        f"width = {spec.width}",
        f"height = {spec.height}",
    ]
    lines += ["[[questions]]", 'id = "quality"', 'text = "Which?"', "show_prompt = false"]
    (root / "study.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder = StudyFolder(root)
    folder.__dict__["study"] = folder.study.model_copy(update={"models": folder.study.models[:1]})
    return folder


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


class _Marks:
    """When how many images were done; counted from when it was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._marks: list[tuple[float, int]] = []

    def add(self, done: int) -> None:
        if done and (not self._marks or done > self._marks[-1][1]):
            self._marks.append((time.perf_counter() - self._started, done))

    def run(self, n: int) -> Run:
        (first, already), (last, done) = self._marks[0], self._marks[-1]
        assert done == n, f"{done} of {n} images were made"
        rate = (done - already) / (last - first) if done > already else float("nan")
        return Run(n, time.perf_counter() - self._started, rate)


def as_json(run: Run) -> str:
    """The run on one line."""
    return json.dumps(asdict(run))
