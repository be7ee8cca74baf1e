"""A unit: what a metric judges at once, the images and words, named by the hash of its content."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from evalkit.addresses import is_remote
from evalkit.content import content_key
from evalkit.errors import StudyError
from evalkit.files import file_sha256, list_sizes
from evalkit.study_folder import StudyFolder

_READERS = 8  # threads


@dataclass(frozen=True, eq=False)
class Unit:
    """Images (files, and the SHA-256 of the bytes of each) with the words beside them.

    `label` names it in an error. `image` and `text` are embeddings that are known already.
    """

    label: str
    files: tuple[Path, ...]
    hashes: tuple[str, ...]
    prompt: str = ""
    question: str = ""
    image: np.ndarray | None = None
    text: np.ndarray | None = None

    @cached_property
    def key(self) -> str:
        """64 hex digits that name its content, whatever the files are called."""
        return content_key(self.hashes, self.prompt, self.question)


def hash_images(folder: StudyFolder, names: Iterable[str], listed: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of each image of the study, by its name below `folder.images`.

    Files of this machine are read. Of an object store, which takes a file whole, the hash that is
    `listed` (images.csv) counts as long as the image lies there, so that nothing is read again over
    a network. Raises StudyError where an image is missing, cannot be read, or is another one than
    images.csv lists; an empty hash there allows any.
    """
    names = list(names)
    wanted = {name: sha256 for name, sha256 in zip(names, listed, strict=True) if sha256}
    known: dict[str, str] = {}
    if is_remote(folder.images):
        there = _list_images(folder, names)
        known = {name: sha256 for name, sha256 in wanted.items() if name in there}
    unknown = [name for name in names if name not in known]
    files = [folder.images / name for name in unknown]
    known |= dict(zip(unknown, hash_files(files, folder), strict=True))
    for name, sha256 in known.items():
        if wanted.get(name, sha256) != sha256:
            raise StudyError(
                f"{folder.images / name}: is another image than images.csv lists (another sha256); "
                "scores are of the images that are voted on; put that one back, or delete this one "
                "and run evalkit generate, which makes it again"
            )
    return known


def hash_files(files: list[Path], folder: StudyFolder) -> list[str]:
    """The SHA-256 of each file; StudyError on one that is missing or cannot be read."""

    def read(file: Path) -> str:
        try:
            return file_sha256(file)
        except OSError as error:
            raise unreadable(file, error) from None

    with ThreadPoolExecutor(_READERS) as threads:
        return list(threads.map(read, files))


def unreadable(file: Path, error: BaseException) -> StudyError:
    """What is said of an image that cannot be read."""
    return StudyError(
        f"{file}: the image cannot be read ({error}); delete it and run evalkit generate, which "
        "makes it again, or put a whole one there"
    )


def _list_images(folder: StudyFolder, names: list[str]) -> set[str]:
    places = {name.rpartition("/")[0] for name in names}
    return {f"{place}/{name}" for place in places for name in list_sizes(folder.images / place)}
