"""Ways to make the images of one model, each timed whole: loading, making, the last file on disk.

`plain`: the stock library pipeline as its documentation has it, one image per call, PNG saved as
Pillow does by itself. `batched`: the same pipeline at its own best settings: several images per
call, channels last, the autoencoder in the model's 16 bits. `evalkit`: a study folder and
`generate`, everything on.
"""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import torch

from evalkit import generation
from evalkit.models import DiffusionModel
from evalkit.models.listing import toml
from evalkit.pipelines.devices import resolve_device, resolve_precision
from evalkit.pipelines.loading import load_library_pipeline
from evalkit.pipelines.memory import free_memory
from evalkit.study_folder import StudyFolder

COLOURS = ("red", "blue", "green", "yellow", "white", "black")
SHAPES = ("circle", "square", "triangle", "star")


def prompts(n: int) -> list[str]:
    """`n` different prompts."""
    return [
        f"{k} {COLOURS[k % 6]} {SHAPES[k % 4]}s above a {COLOURS[(k + 1) % 6]} house"
        for k in range(n)
    ]


def plain(spec: DiffusionModel, n: int, out: Path, device: str) -> float:
    """Seconds of the stock pipeline, one image per call."""
    return _library(spec, n, out, device, 1, _stock)


def batched(spec: DiffusionModel, n: int, out: Path, device: str, size: int) -> float:
    """Seconds of the stock pipeline at its own best settings, `size` images per call."""
    return _library(spec, n, out, device, size, _tuned)


def evalkit(spec: DiffusionModel, n: int, out: Path, device: str, size: int | None) -> float:
    """Seconds of `generate` on a study of this model; `size` None: the one that it chooses."""
    folder = _study(spec, n, out)
    started = time.perf_counter()
    images = generation.generate(folder, batch_size=size, device=device)
    seconds = time.perf_counter() - started
    made = int((images["status"] == "ok").sum())
    assert made == n, f"{made} of {n} images were made"
    return seconds


def steady_rate(run: Callable[[int, Path], float], size: int, images: int, out: Path) -> float:
    """Images per second of `run` (n images, into a folder; gives seconds), batches of `size`.

    From two whole runs, one of a single batch and one of `images` more: what both have, loading,
    warming up, the wait for the last file, is in neither's difference. NaN where the longer run
    took no longer.
    """
    one = run(size, out / "one")
    free_memory()
    more = run(size + images, out / "more") - one
    return images / more if more > 0 else float("nan")


def _library(
    spec: DiffusionModel,
    n: int,
    out: Path,
    device: str,
    size: int,
    prepared: Callable[[object, torch.device], None],
) -> float:
    out.mkdir(parents=True)
    started = time.perf_counter()
    target = resolve_device(device)
    torch.backends.cudnn.benchmark = False  # PyTorch's own choices, whatever ran before in here
    torch.backends.cudnn.allow_tf32 = True
    pipeline = load_library_pipeline(
        spec, getattr(torch, resolve_precision(spec.precision, target))
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(target)
    prepared(pipeline, target)
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
    return time.perf_counter() - started


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
    lines += [f"{key} = {toml(value)}" for key, value in settings.items()]
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
