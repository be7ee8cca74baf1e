"""The public images as they lie: alike in all but their pixels, and those of the locked images."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from evalkit.leaks.finding import Finding, some
from evalkit.leaks.png import PLAIN_CHUNKS, PngFrame, read_frame

_NAME = re.compile(r"[0-9a-f]{32}\.png")
_ANEW = (
    "make the public images anew (before the first vote: remove the folder blinded, lock.json and "
    "the vote database, then invite again), or put them back from a copy"
)


def public_files(folder: Path) -> dict[str, os.stat_result]:
    """All that lies in the folder of public images, hidden things and folders too, by name."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    except FileNotFoundError:
        return {}


def read_frames(folder: Path, names: Iterable[str]) -> dict[str, PngFrame | None]:
    """The frame of each file; None where it is no PNG."""
    return {name: read_frame((folder / name).read_bytes()) for name in names}


def check_files(
    key: pd.DataFrame,
    found: Mapping[str, os.stat_result],
    frames: Mapping[str, PngFrame | None],
    viewing_size: int,
) -> list[Finding]:
    """What the files show without being decoded; `key` as `leaks.key.public_key` gives it."""
    return [
        _presence(set(key["file"]), set(found)),
        _names(key),
        _times(found),
        _owners(found),
        _format(frames),
        _canvas(frames, viewing_size),
        _metadata(frames),
        _trailing(frames),
    ]


def _presence(named: set[str], lying: set[str]) -> Finding:
    name = "public files"
    for files, what in ((named - lying, "missing"), (lying - named, "not of the study")):
        if files:
            found = f"{len(files)} in the folder of public images {_are(files)} {what}"
            return Finding(name, False, found, some(sorted(files)), _ANEW)
    return Finding(name, True, f"all {len(named)} that the database names, and nothing else")


def _names(key: pd.DataFrame) -> Finding:
    """32 hex digits that are not those of an id or a hash of the image."""
    known = set(key["image_id"]) | {sha256[:32] for sha256 in key["sha256"]}
    bad = [name for name in key["file"] if not _NAME.fullmatch(name) or name[:-4] in known]
    if bad:
        found = f"{len(bad)} public files have a name that is not drawn at random"
        return Finding("file names", False, found, some(bad), _ANEW)
    return Finding("file names", True, "each of 128 random bits")


def _times(found: Mapping[str, os.stat_result]) -> Finding:
    times = {status.st_mtime_ns for status in found.values()}
    if len(times) > 1:
        what = f"the public files have {len(times)} different times"
        remedy = "give all the same: find blinded -type f -exec touch -d @0 {} +"
        return Finding("file times", False, what, "", remedy)
    return Finding("file times", True, "the same for all")


def _owners(found: Mapping[str, os.stat_result]) -> Finding:
    owners = {(status.st_mode, status.st_uid, status.st_gid) for status in found.values()}
    if len(owners) > 1:
        what = f"the public files have {len(owners)} different owners or permissions"
        return Finding("file owners", False, what, "", "give all the same by chown and chmod")
    return Finding("file owners", True, "one owner and one permission for all")


def _format(frames: Mapping[str, PngFrame | None]) -> Finding:
    return _all_frames(
        "format",
        frames,
        lambda frame: frame is None or not frame.is_plain,
        "not saved as PNG with 8 bits of red, green and blue",
        "all are PNG in 8-bit RGB",
    )


def _canvas(frames: Mapping[str, PngFrame | None], size: int) -> Finding:
    return _all_frames(
        "canvas",
        frames,
        lambda frame: frame is not None and (frame.width, frame.height) != (size, size),
        f"not {size} x {size} px",
        f"all are {size} x {size} px",
    )


def _metadata(frames: Mapping[str, PngFrame | None]) -> Finding:
    return _all_frames(
        "metadata",
        frames,
        lambda frame: frame is not None and not set(frame.chunks) <= PLAIN_CHUNKS,
        "with more in them than pixels (text, EXIF, a colour profile or a time)",
        "nothing but pixels in any",
    )


def _trailing(frames: Mapping[str, PngFrame | None]) -> Finding:
    return _all_frames(
        "trailing bytes",
        frames,
        lambda frame: frame is not None and frame.trailing > 0,
        "with bytes after the end of the image",
        "none after any image; the app pads both images of a trial to one length",
    )


def _all_frames(
    name: str,
    frames: Mapping[str, PngFrame | None],
    is_bad: Callable[[PngFrame | None], bool],
    what: str,
    good: str,
) -> Finding:
    bad = sorted(file for file, frame in frames.items() if is_bad(frame))
    if bad:
        return Finding(name, False, f"{len(bad)} public files {_are(bad)} {what}", some(bad), _ANEW)
    return Finding(name, True, good)


def _are(files: Iterable[str]) -> str:
    return "is" if len(list(files)) == 1 else "are"
