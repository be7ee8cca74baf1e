"""Prompts on the hub: PartiPrompts, and any data set with a column of texts."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.errors import StudyError, first_line, listed
from evalkit.prompts.formats import SourceRows, read_file, with_plain_names

_PARTIPROMPTS = ("nateraw/parti-prompts", "PartiPrompts.tsv")


def read_partiprompts(revision: str | None) -> SourceRows:
    """The 1632 PartiPrompts, from their own file on the hub, whose quotes are literal."""
    repository, name = _PARTIPROMPTS
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise _not_installed("partiprompts", "huggingface_hub") from None
    try:
        with _quiet():
            path = Path(hf_hub_download(repository, name, repo_type="dataset", revision=revision))
    except Exception as error:  # every kind of network and hub failure, with one remedy
        raise StudyError(
            f'prompts: "partiprompts" could not be read from the hub ({type(error).__name__}); '
            "connect to it, or download PartiPrompts.tsv once and set prompts.source to that file"
        ) from None
    rows = read_file(path, where="partiprompts")
    return SourceRows(
        rows.cells,
        rows.places,
        rows.where,
        rows.stem,
        origin={**rows.origin, "repository": repository, "commit": _commit(str(path))},
    )


def read_hub(
    repository: str, config: str | None, split: str | None, revision: str | None
) -> SourceRows:
    """The rows of one split of a data set; of its columns those that are texts or numbers.

    Rows are counted from 1. StudyError where the hub or the data set cannot be had, or where
    several splits leave open which is meant.
    """
    where = f"hub:{repository}"
    try:
        from datasets import Value, load_dataset
    except ImportError:
        raise _not_installed(where, "datasets") from None
    try:
        with _quiet():
            found = load_dataset(repository, config, split=split, revision=revision)
    except Exception as error:  # files, hub and library fail in many ways, each the user's to mend
        raise StudyError(
            f'prompts: "{where}" could not be read ({first_line(error)}); correct source, config, '
            "split or revision, connect to the hub, or set prompts.source to a file of it"
        ) from None
    if isinstance(found, dict):
        if len(found) > 1:
            raise StudyError(
                f'prompts: "{where}" has several splits; name one of {listed(found)} with '
                "prompts.split"
            )
        found = next(iter(found.values()))
    columns = [name for name, feature in found.features.items() if isinstance(feature, Value)]
    cells = with_plain_names(found.select_columns(columns).to_pandas())
    places = [f"row {number}" for number in range(1, len(cells) + 1)]
    stem = repository.rpartition("/")[2].lower()
    origin = {"repository": repository, "commit": _loaded_commit(found)}
    return SourceRows(cells, places, where, stem, origin=origin)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a line for every attempt at a hub that cannot be reached."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _loaded_commit(data: Any) -> str | None:
    """The commit in the addresses of the files that a data set was made from; None without."""
    addresses = data.info.download_checksums or {}
    return next(filter(None, map(_commit, addresses)), None)


def _commit(address: str) -> str | None:
    """The 40 hex digits that an address or a path in the cache names the commit by."""
    found = re.search(r"(?:@|/snapshots/)([0-9a-f]{40})/", address)
    return found.group(1) if found else None


def _not_installed(source: str, package: str) -> StudyError:
    return StudyError(
        f'prompts: "{source}" is read from the hub by the package {package}, which is not '
        'installed; run pip install "evalkit[generate]"'
    )
