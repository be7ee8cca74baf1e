"""A model of the tests' own, run by `callable`: strokes that follow from prompt and seed alone."""

import hashlib
import os
import signal
import threading
import time
import weakref
from pathlib import Path

import numpy as np
from PIL import Image

CALLS: list[int] = []  # images of each call in this process
HELD: list[np.ndarray | None] = []  # what `see_what_is_held` saw
_ARRAYS: list[weakref.ref] = []


def draw(
    prompts: list[str], seeds: list[int], *, size: int = 64, shade: int = 0, seconds: float = 0.0
) -> list[Image.Image]:
    """A field of colours per prompt and seed; `seconds` is how long an image takes."""
    CALLS.append(len(prompts))
    time.sleep(seconds * len(prompts))
    return [
        _strokes(f"{prompt}/{seed}/{shade}", size)
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


def hungry(prompts: list[str], seeds: list[int], *, most: int, shade: int = 0) -> list[Image.Image]:
    """`draw`, but out of the GPU's memory with more than `most` images in one call."""
    import torch

    if len(prompts) > most:
        CALLS.append(-len(prompts))
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return draw(prompts, seeds, shade=shade)


def show_gpus(
    prompts: list[str], seeds: list[int], *, folder: str, seconds: float, shade: int
) -> list[Image.Image]:
    """`draw`, and a file `gpu-of-PID` that says which GPUs the process may use."""
    (Path(folder) / f"gpu-of-{os.getpid()}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    return draw(prompts, seeds, shade=shade, seconds=seconds)


def die(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
    """Ends the process, as the kernel does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def wrong(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
    """Always fails."""
    raise ValueError("never")


def fail_with_a_lot(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
    """Always fails, with an array in hand."""
    array = np.zeros(10)
    _ARRAYS.append(weakref.ref(array))
    raise ValueError("never")


def see_what_is_held(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
    """`draw`, and notes in `HELD` what there is of the array of `fail_with_a_lot`."""
    HELD[:] = [array() for array in _ARRAYS]
    return draw(prompts, seeds)


def show_threads(
    prompts: list[str], seeds: list[int], *, folder: str, shade: int
) -> list[Image.Image]:
    """`draw`, and a file `thread-N` for the thread that it is called in."""
    (Path(folder) / f"thread-{threading.get_ident()}").touch()
    return draw(prompts, seeds, shade=shade, seconds=0.02)


def _strokes(key: str, size: int) -> Image.Image:
    rng = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
