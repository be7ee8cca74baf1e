"""How long a loaded pipeline takes: encoding, one denoiser forward, decoding, the whole call."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from evalkit.pipelines.devices import device_name, resolve_device
from evalkit.pipelines.memory import free_memory
from evalkit.pipelines.pipeline import Pipeline, Request
from evalkit.pipelines.versions import versions

PARTS = {
    "encode": "the prompts to the denoiser's conditioning",
    "denoise": (
        "one forward of the denoiser, with the input of the first step; `rows` is its batch, "
        "twice the images where guidance needs a second half"
    ),
    "decode": "the autoencoder, latents to pixels on the device",
    "whole": "prompts to finished images on the CPU, through all steps",
}
_STABLE_WITHIN = 0.1  # of the median, the spread of the last calls
_LAST_CALLS = 3
_MOST_WARM_UP = 20  # calls, and below it
_MOST_WARM_UP_SECONDS = 60.0

Prompts = Callable[[], list[Request]]


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: median and quartiles over `n` calls, after `warm_up` calls.

    `stable`: the last 3 calls of the warm-up were within 10% of their median.
    """

    seconds_median: float
    seconds_low: float
    seconds_high: float
    n: int
    warm_up: int
    stable: bool


def time_calls(
    call: Callable[[], object],
    repeats: int,
    synchronise: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Time `repeats` calls, each between two synchronisations of the device.

    Before, it is called until it is stable: at least 3 times, at most 20, for about a minute.
    """

    def seconds() -> float:
        synchronise()
        started = clock()
        call()
        synchronise()
        return clock() - started

    warm: list[float] = []
    stable = False
    while not stable and len(warm) < _MOST_WARM_UP:
        warm.append(seconds())
        last = warm[-_LAST_CALLS:]
        spread = max(last) - min(last)
        stable = len(last) == _LAST_CALLS and spread <= _STABLE_WITHIN * median(last)
        if len(warm) >= _LAST_CALLS and sum(warm) > _MOST_WARM_UP_SECONDS:
            break
    found = [seconds() for _ in range(repeats)]
    low, middle, high = (float(value) for value in np.quantile(found, [0.25, 0.5, 0.75]))
    return Timing(middle, low, high, repeats, len(warm), stable)


def time_pipeline(
    pipeline: Pipeline, prompts: Prompts, repeats: int, device: str | None
) -> dict[str, Any]:
    """The `PARTS` of one batch, each its `Timing` as a dict, and what the batch needed.

    `prompts` gives the requests of one batch, every time with other prompts, so that none is
    remembered. The parts within the call are those of one library pipeline, and None for other
    kinds. Also: seconds_per_image; peak_memory_bytes, reserved on a GPU with the model in it (None
    elsewhere); without_image, how many of the batch came out as no image. Raises as `render` does.
    """
    target = resolve_device(device)
    synchronise = _synchronisation(target)
    _reset_peak(target)
    results = pipeline.render(prompts())
    parts: dict[str, Any] = dict.fromkeys(PARTS)
    if hasattr(pipeline, "library"):
        inside, rows = _inside(pipeline, prompts)
        parts |= {
            name: asdict(time_calls(call, repeats, synchronise)) for name, call in inside.items()
        }
        parts["denoise"]["rows"] = rows
    parts["whole"] = asdict(time_calls(lambda: pipeline.render(prompts()), repeats, synchronise))
    return {
        **parts,
        "seconds_per_image": parts["whole"]["seconds_median"] / len(results),
        "peak_memory_bytes": _peak(target),
        "without_image": sum(result.status != "ok" for result in results),
    }


def hardware(device: str | None) -> dict[str, Any]:
    """The device with its driver and CUDA (None on others), processor cores, threads, versions."""
    target = resolve_device(device)
    is_cuda = target.type == "cuda"
    return {
        "device": target.type,
        "device_name": device_name(target),
        "driver": _driver() if is_cuda else None,
        "cuda": torch.version.cuda if is_cuda else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": versions("torch", "diffusers", "transformers"),
    }


def _inside(pipeline: Any, prompts: Prompts) -> tuple[dict[str, Callable[[], object]], int]:
    """Calls for the parts within the whole, and the rows of the denoiser's batch.

    Denoiser and autoencoder get what they were given in a real call, at its first step.
    """
    library = pipeline.library
    denoiser = getattr(library, "unet", None) or library.transformer
    autoencoder = getattr(library, "vqvae", None) or library.vae
    given: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def keep(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given.setdefault(name, tree_map_only(torch.Tensor, torch.clone, (args, kwargs)))

    decode = autoencoder.decode

    def decode_and_keep(*args: Any, **kwargs: Any) -> Any:
        keep("decode", args, kwargs)
        return decode(*args, **kwargs)

    own = "decode" in vars(autoencoder)
    hook = denoiser.register_forward_pre_hook(
        lambda module, args, kwargs: keep("denoise", args, kwargs), with_kwargs=True
    )
    autoencoder.decode = decode_and_keep
    try:
        pipeline.render(prompts())
    finally:
        hook.remove()
        del autoencoder.decode
        if own:
            autoencoder.decode = decode

    def again(function: Callable[..., Any], name: str) -> Callable[[], object]:
        args, kwargs = given[name]
        return torch.no_grad()(lambda: function(*args, **kwargs))

    rows = max(len(leaf) for leaf in tree_leaves(given["denoise"]) if _is_batch(leaf))
    calls = {
        "encode": lambda: pipeline.encode([request.prompt for request in prompts()]),
        "denoise": again(denoiser, "denoise"),
        "decode": again(decode, "decode"),
    }
    return calls, rows


def _is_batch(leaf: object) -> bool:
    """Whether it is a latent image, as in UNets, or a sequence of its patches or of text."""
    return isinstance(leaf, torch.Tensor) and leaf.ndim >= 3


def _synchronisation(device: torch.device) -> Callable[[], None]:
    """What waits until the device has done all that it was given."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device.type == "mps" else lambda: None


def _reset_peak(device: torch.device) -> None:
    free_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int | None:
    # Reserved, not allocated: a CUDA graph keeps what it needs between its calls.
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


def _driver() -> str | None:
    """The version of NVIDIA's driver, None where its tool is not there or does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else None
