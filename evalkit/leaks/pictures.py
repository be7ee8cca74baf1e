"""Whether each public image still is its locked original, blinded in the one way of all."""

import hashlib
import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from evalkit.blinding import public_png
from evalkit.errors import StudyError
from evalkit.files import file_sha256
from evalkit.leaks.finding import Finding, some
from evalkit.progress import Progress, no_progress

_READERS = 8
_RESTORE = "put back the image from a copy, or make a new study"


class Picture(NamedTuple):
    """A public file by its hash, and what it was compared with.

    `seen` is "same bytes" or "same pixels" as the blinded original has, or what else was found.
    """

    sha256: str
    original: str
    seen: str


def compare_pictures(
    blinded: Path,
    originals: Path,
    key: pd.DataFrame,
    viewing_size: int,
    known: Mapping[str, Picture],
    progress: Progress = no_progress,
) -> dict[str, Picture]:
    """What each public file is, by its name; those of `known` that are unchanged are kept."""
    rows, found = _present(blinded, key), {}

    def compare(row: tuple) -> tuple[str, Picture]:
        data = (blinded / row.file).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        before = known.get(row.file)
        if before is not None and before[:2] == (sha256, row.sha256):
            return row.file, before
        return row.file, Picture(sha256, row.sha256, _seen(data, originals, row, viewing_size))

    with ThreadPoolExecutor(_READERS) as threads:
        for done, (name, picture) in enumerate(threads.map(compare, rows), start=1):
            found[name] = picture
            progress(done, len(rows), "public images")
    return found


def check_pictures(pictures: Mapping[str, Picture]) -> list[Finding]:
    """That every picture is its original's, and that all were saved in one way."""
    wrong = {file: p.seen for file, p in pictures.items() if p.seen not in _FINE}
    if wrong:
        file = min(wrong)
        picture = Finding("pictures", False, wrong[file], some(sorted(wrong)), _RESTORE)
    else:
        picture = Finding("pictures", True, "each is its original, blinded as all others are")
    return [picture, _encoding(pictures)]


_FINE = ("same bytes", "same pixels")


def _encoding(pictures: Mapping[str, Picture]) -> Finding:
    """Another version of the PNG library may save all anew in another way, never only some."""
    other = sorted(file for file, picture in pictures.items() if picture.seen == "same pixels")
    if other and len(other) < sum(picture.seen in _FINE for picture in pictures.values()):
        found = f"{len(other)} public files are compressed in another way than the rest"
        return Finding("encoding", False, found, some(other), _RESTORE)
    return Finding("encoding", True, "all were saved in one way")


def _present(blinded: Path, key: pd.DataFrame) -> list[tuple]:
    return [row for row in key.itertuples() if (blinded / row.file).is_file()]


def _seen(data: bytes, originals: Path, row: tuple, viewing_size: int) -> str:
    original = originals / row.file_name
    try:
        if file_sha256(original) != row.sha256:
            return f"{original.name} is not the image that the study is locked with"
        fresh = public_png(original, viewing_size, row.treatment)
    except (FileNotFoundError, StudyError):
        return f"the original {original.name} is missing, so that its picture cannot be compared"
    if data == fresh:
        return "same bytes"
    return "same pixels" if _same_pixels(data, fresh) else "a public image shows another picture"


def _same_pixels(data: bytes, fresh: bytes) -> bool:
    try:
        shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except OSError:
        return False
    return np.array_equal(shown, np.asarray(Image.open(io.BytesIO(fresh))))
