"""Weights that a project releases at an address of its own, or a file of the same network."""

from pathlib import Path

from evalkit.errors import ModelError, first_line
from evalkit.metrics.loading.library import quiet
from evalkit.metrics.loading.places import Place, locate_file


def identify_released(weights: str | None, default: str) -> str:
    """The name in the scores: `default` for None, else that of the file; see `locate_file`."""
    return default if weights in (None, default) else locate_file(weights).name


def locate_released(weights: str | None, default: str, url: str) -> Place:
    """`default` (or None) in torch's own cache, fetched from `url` once; or a file as it is named.

    The url's file name holds the hash that what is fetched must have. Raises ModelError where the
    weights are neither, or cannot be fetched.
    """
    if weights not in (None, default):
        return locate_file(weights)
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        digits = path.stem.rpartition("-")[2]
        try:
            with quiet():
                torch.hub.download_url_to_file(url, str(path), hash_prefix=digits, progress=False)
        except Exception as error:  # every kind of network and disk failure, with one remedy
            raise ModelError(
                f'score: the weights "{default}" are not on this machine and could not be had from '
                f"{url} ({first_line(error)}); connect to it, or name the file of a local copy"
            ) from None
    return Place(path, default)
