"""Whether an error says that memory ran out: each device and library says it in its own way."""

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from evalkit.errors import ModelError

_SANA = "diffusers.pipelines.sana."
_SAID = (  # a CPU, a GPU below PyTorch, Apple's GPU, the GPU's matrix library
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "cublas_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that something did not fit into the memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, UnboundLocalError):
        # Sana's pipelines swallow the error of decoding, then miss what was decoded.
        return "'image'" in str(error) and _raised_in(error).startswith(_SANA)
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)


def _raised_in(error: BaseException) -> str:
    """The name of the module that raised an error; empty where none did."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")) if frames else ""


def forget_frames(error: BaseException) -> None:
    """Let go of the tensors in the frames of an error, so that it can be kept without them."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__


@contextmanager
def nothing_kept() -> Iterator[None]:
    """A ModelError raised within goes on without what was loaded until then."""
    try:
        yield
    except ModelError as error:
        forget_frames(error)
        free_memory()
        raise


def free_memory() -> None:
    """Hand what nothing refers to any more back to the devices."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
