"""Parts of a checkpoint: found in a folder or on the hub; every failure is one sentence."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import transformers
from huggingface_hub import HfApi, constants, errors, hf_hub_download, try_to_load_from_cache
from huggingface_hub.file_download import repo_folder_name

from evalkit.errors import ModelError, first_line
from evalkit.models.catalogue import checkpoint_path
from evalkit.pipelines.memory import is_out_of_memory

_UNREACHABLE = (
    "is not in the local cache and the hub cannot be reached; connect to it, or name a folder "
    "with the checkpoint"
)
_REMEDIES = (  # the first that fits; a gated repository is also one that was not found
    (errors.GatedRepoError, "is gated; accept its licence on the hub, then run: hf auth login"),
    (errors.RevisionNotFoundError, "has no such revision on the hub; correct the revision"),
    (errors.RepositoryNotFoundError, "is not on the hub, or is private; correct the name"),
    (errors.LocalEntryNotFoundError, _UNREACHABLE),
)
_REACH_SECONDS = 10


def locate(repository: str, where: str, revision: str | None = None) -> str:
    """The folder or the hub name of a repository.

    Raises ModelError where a folder does not exist, and where nothing of a hub repository (with
    `revision`: of that one) is in the cache and the hub cannot be reached.
    """
    path = checkpoint_path(repository)
    is_folder = path != repository or Path(path).is_absolute() or path.startswith(".")
    if is_folder and not Path(path).is_dir():
        raise ModelError(f'{where}: no folder "{path}" for repository "{repository}"; correct it')
    if not (Path(path).is_dir() or _is_cached(path, revision) or _is_reachable(path)):
        raise ModelError(f'{where}: "{repository}" {_UNREACHABLE}')
    return path


def locate_file(path: str, revision: str | None, file: str, where: str) -> Path:
    """A file of a located repository (`file` may begin with a sub-folder); fetched from the hub."""
    if Path(path).is_dir():
        found = Path(path) / file
    else:
        with loading(path, where):
            try:
                found = Path(hf_hub_download(path, file, revision=revision))
            except errors.RemoteEntryNotFoundError:
                found = None
    if found is None or not found.is_file():
        raise ModelError(f'{where}: "{path}" has no file "{file}"; correct its name')
    return found


def require_tokenizers(pipeline: Any, repository: str, where: str) -> None:
    """ModelError where a tokenizer of a loaded pipeline knows no word."""
    for name, part in pipeline.components.items():
        if name.startswith("tokenizer") and part is not None:
            require_tokenizer(name, part, repository, where)


def require_tokenizer(name: str, tokenizer: Any, repository: str, where: str) -> None:
    """ModelError where a tokenizer knows no word: the library makes an empty one of no files."""
    one, other = (tokenizer(text)["input_ids"] for text in ("aaa eee", "eee aaa"))
    if one == other:
        raise ModelError(
            f'{where}: "{repository}" has no {name}, or one that knows no word; fetch its folder '
            f"{name} with all files, or name another checkpoint"
        )


def commit(path: str, revision: str | None, file: str) -> str | None:
    """The commit of a hub repository whose `file` lies in the cache; None for a folder."""
    if Path(path).is_dir():
        return None
    found = try_to_load_from_cache(path, file, revision=revision or "main")
    return Path(found).parents[file.count("/")].name if isinstance(found, str) else None


@contextmanager
def loading(repository: str, where: str, memory: str = "this machine") -> Iterator[None]:
    """Load quietly into a `memory`; what the library raises becomes a ModelError with a remedy."""
    try:
        with quiet():
            yield
    except ModelError:
        raise
    except Exception as error:  # files, hub and library fail in many ways, each the user's to mend
        if is_out_of_memory(error):
            raise ModelError(
                f'{where}: "{repository}" does not fit into the memory of {memory}; use a device '
                'with more, or 16-bit precision (precision = "float16" or "bfloat16" on a GPU)'
            ) from error
        raise ModelError(f'{where}: "{repository}" {_remedy(error)}') from error


@contextmanager
def quiet() -> Iterator[None]:
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


def _is_cached(path: str, revision: str | None) -> bool:
    """Whether anything of a hub repository (with `revision`: of that one) is in the cache."""
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=path, repo_type="model")
    if revision is None:
        return (folder / "snapshots").is_dir()
    return (folder / "snapshots" / revision).is_dir() or (folder / "refs" / revision).is_file()


def _is_reachable(path: str) -> bool:
    """Whether the hub answers at all, asked once: the library would ask for 24 s, silently."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        HfApi().model_info(path, timeout=_REACH_SECONDS)
    except (errors.HfHubHTTPError, errors.HFValidationError):  # an answer, or a name to correct
        return True
    except Exception:  # the client's network errors, whose classes differ between its versions
        return False
    return True


def _remedy(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        for kind, remedy in _REMEDIES:
            if isinstance(cause, kind):
                return remedy
        cause = cause.__cause__ or cause.__context__
    hint = '; variant = "" takes the files without one' if "variant" in str(error) else ""
    return (
        f"cannot be loaded ({first_line(error)}); check the folder and the model's settings{hint}"
    )
