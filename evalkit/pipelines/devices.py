"""The device that makes the images, and the precision that it can compute in."""

import platform
from pathlib import Path

import torch

from evalkit.errors import ModelError

_ALLOWED = "cpu, cuda, cuda:N, mps"


def resolve_device(device: str | None) -> torch.device:
    """The named device, or without a name the first GPU, or the CPU; ModelError where absent."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda", "mps"):
        raise ModelError(f'device: "{device}"; allowed are {_ALLOWED}; name one of them')
    present = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }[found.type]
    if (found.index or 0) >= present:
        raise ModelError(
            f'device: "{device}" is not there (this machine has {present} of {found.type}); '
            "name another, or none for the best one"
        )
    return found


def resolve_precision(precision: str, device: torch.device) -> str:
    """The precision computed in: as asked, but float32 on a CPU.

    A CPU is 11-16 times slower in float16, and bfloat16 is asked for only where float16 overflows.
    """
    return "float32" if device.type == "cpu" else precision


def free_bytes(device: str) -> int | None:
    """Bytes that are free in the memory of a GPU of CUDA; None for any other device."""
    found = torch.device(device)
    return torch.cuda.mem_get_info(found)[0] if found.type == "cuda" else None


def count_gpus() -> int:
    """How many GPUs of CUDA this machine offers."""
    return torch.cuda.device_count()


def device_name(device: torch.device) -> str:
    """The device as a reader knows it: the GPU's name, or the processor's and its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
