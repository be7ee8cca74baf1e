"""Parts of a checkpoint: found in a folder or on the hub; every failure is one sentence."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diffusers
import transformers
from huggingface_hub import errors, try_to_load_from_cache

from evalkit.errors import ModelError
from evalkit.models.catalogue import checkpoint_path

_REMEDIES = (  # the first that fits; a gated repository is also one that was not found
    (errors.GatedRepoError, "is gated; accept its licence on the hub, then run: hf auth login"),
    (errors.RevisionNotFoundError, "has no such revision on the hub; correct the revision"),
    (errors.RepositoryNotFoundError, "is not on the hub, or is private; correct the name"),
    (
        errors.LocalEntryNotFoundError,
        "is not in the local cache and the hub cannot be reached; connect to it, or name a folder "
        "with the checkpoint",
    ),
)


def locate(repository: str, where: str) -> str:
    """The folder or the hub name of a repository; ModelError where a folder does not exist."""
    path = checkpoint_path(repository)
    is_folder = path != repository or Path(path).is_absolute() or path.startswith(".")
    if is_folder and not Path(path).is_dir():
        raise ModelError(f'{where}: no folder "{path}" for repository "{repository}"; correct it')
    return path


def commit(path: str, revision: str | None, file: str) -> str | None:
    """The commit of a hub repository whose `file` lies in the cache; None for a folder."""
    if Path(path).is_dir():
        return None
    found = try_to_load_from_cache(path, file, revision=revision or "main")
    return Path(found).parents[file.count("/")].name if isinstance(found, str) else None


@contextmanager
def loading(repository: str, where: str) -> Iterator[None]:
    """Load quietly; whatever the library raises becomes a ModelError with its remedy."""
    try:
        with _quiet():
            yield
    except ModelError:
        raise
    except Exception as error:  # files, hub and library fail in many ways, each the user's to mend
        raise ModelError(f'{where}: "{repository}" {_remedy(error)}') from error


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says, at most 200 characters of it."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _remedy(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        for kind, remedy in _REMEDIES:
            if isinstance(cause, kind):
                return remedy
        cause = cause.__cause__ or cause.__context__
    return f"cannot be loaded ({first_line(error)}); check the folder and the model's settings"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' bars and remarks, which say nothing that a user can act on."""
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
