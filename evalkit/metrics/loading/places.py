"""Where weights lie, here or on the hub, and the name that says in the scores which they are."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import ModelError, first_line
from evalkit.metrics.loading.library import quiet

TENSOR_FILES = (".safetensors", ".pt", ".pth", ".bin")
_SETTINGS = (".jinja", ".json", ".txt")
_HUB = re.compile(
    r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(/(?P<file>[^@]+))?(@(?P<revision>[^@]+))?"
)
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Place:
    """Weights on this machine: a file or a folder, and their name in the scores."""

    path: Path
    name: str


def locate_folder(weights: str, patterns: Sequence[str]) -> Place:
    """A local folder, or a repository of the hub: `owner/name` or `owner/name@revision`.

    Of a repository the files that fit `patterns` are fetched. A folder is named by its own name and
    a hash of its tensors and settings, a repository by the commit that was read. Raises ModelError
    where it is neither.
    """
    if Path(weights).is_dir():
        return Place(Path(weights), f"{Path(weights).resolve().name}@{_hash(Path(weights))}")
    found = _HUB.fullmatch(weights)
    if Path(weights).exists() or found is None or found["file"]:
        raise ModelError(
            f'score: no folder "{weights}"; allowed are a local folder of weights, or a name on '
            "the hub such as owner/name; correct it"
        )
    from huggingface_hub import snapshot_download

    repository, revision = found["repository"], found["revision"]
    with _fetching(weights):
        folder = Path(
            snapshot_download(repository, revision=revision, allow_patterns=list(patterns))
        )
    return Place(folder, f"{repository}@{folder.name}")


def locate_file(weights: str) -> Place:
    """A local file, or one of the hub: `owner/name/file` or `owner/name/file@revision`.

    Named as folders are, see `locate_folder`. Raises ModelError where it is neither, and on a file
    whose name is not that of tensors.
    """
    path = Path(weights)
    found = _HUB.fullmatch(weights)
    hub_file = None if path.exists() or found is None else found["file"]
    if hub_file is None and not path.is_file():
        raise ModelError(
            f'score: no file "{weights}"; allowed are a local file of weights, or one on the hub '
            "such as owner/name/model.safetensors; correct it"
        )
    if Path(hub_file or path).suffix not in TENSOR_FILES:
        raise ModelError(
            f'score: "{weights}" is not a file of weights; allowed are names that end in '
            f"{', '.join(TENSOR_FILES)}; correct it"
        )
    if hub_file is None:
        return Place(path, f"{path.name}@{_hash(path)}")
    return _fetch_file(weights, found["repository"], hub_file, found["revision"])


def _fetch_file(weights: str, repository: str, file: str, revision: str | None) -> Place:
    from huggingface_hub import hf_hub_download

    with _fetching(weights):
        path = Path(hf_hub_download(repository, file, revision=revision))
    commit = path.parents[file.count("/")].name
    return Place(path, f"{repository}/{file}@{commit}")


@contextmanager
def _fetching(weights: str) -> Iterator[None]:
    """Without a line for every attempt; a failure of any kind becomes a ModelError."""
    try:
        with quiet():
            yield
    except Exception as error:  # every kind of network and hub failure, with one remedy
        raise ModelError(
            f'score: the weights "{weights}" are not on this machine and could not be had from the '
            f"hub ({first_line(error)}); correct the name, connect to the hub, or name a local "
            "copy of them"
        ) from None


def _hash(path: Path) -> str:
    """12 hex digits over a file, or over a folder's tensors and settings with their names."""
    digest = hashlib.sha256()
    kept = TENSOR_FILES + _SETTINGS
    files = [path] if path.is_file() else [p for p in sorted(path.iterdir()) if p.suffix in kept]
    for file in files:
        if path.is_dir():
            digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()[:12]
