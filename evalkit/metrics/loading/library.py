"""Calls of the libraries that load weights: without their remarks, failing in one sentence."""

import logging
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from evalkit.errors import ModelError, first_line

_TALKERS = ("", "transformers", "huggingface_hub")  # open_clip speaks through the root


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Load the weights `name` quietly; what a library raises becomes a ModelError."""
    try:
        with quiet():
            yield
    except ModelError:
        raise
    except pickle.UnpicklingError:
        raise ModelError(
            f'score: the weights "{name}" hold more than tensors, or are damaged, and what else a '
            "file says is not run; use a .safetensors file of these weights"
        ) from None
    except Exception as error:  # files and libraries fail in many ways, each the user's to mend
        raise ModelError(
            f'score: the weights "{name}" could not be loaded ({first_line(error)}); fetch them '
            "again, or name others that were made for this metric"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without remarks that say nothing a user can act on; bars of downloads stay."""
    with suppress(ImportError):  # its first import sets its logger's level anew
        import huggingface_hub.utils.logging  # noqa: F401
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
