"""Copies of the images for the page: small ones for its cards, large ones to look at, made once."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from PIL import Image, ImageOps

from evalkit.errors import StudyError
from evalkit.files import file_sha256, openable, write_bytes, write_json
from evalkit.report.results import Results

SMALL_SIDE = 256  # px; a card shows an image at half of that or more, on screens of two px per px
QUALITY = {"small": 80, "large": 88}  # of WebP
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Copies:
    """The copies of the images of all pairs.

    `folder` is report/pairs; `files` has of each image id the name of its copy in the folders
    `small` and `large` there. `embedded`: the page is to hold the small ones, and no large ones are
    made.
    """

    folder: Path
    files: dict[str, str]
    embedded: bool

    def address(self, image_id: str) -> str:
        """The copy's name, escaped for an address."""
        return quote(self.files[image_id])

    def data_uri(self, image_id: str) -> str:
        """The small copy as a data URI."""
        return data_uri((self.folder / "small" / self.files[image_id]).read_bytes())


def make_copies(results: Results, embed: bool = False, progress: Progress | None = None) -> Copies:
    """Write the copies of every image of a pair below report/pairs; none are made anew that stand.

    Small ones are at most 256 px a side, large ones the study's viewing size. A copy stands as long
    as the image's SHA-256 (of `tables.IMAGES`, or else of the file) and how it is made are as in
    report/pairs/made.json. Copies of other images are taken away. `progress(done, total, label)` is
    called per image that is made. StudyError, naming the image, on one that cannot be read.
    """
    folder = results.folder.report / "pairs"
    shown = {*results.pairs["image_a"], *results.pairs["image_b"]}
    images = results.images[results.images["image_id"].isin(shown)]
    names = [str(Path(name).with_suffix(".webp")) for name in images["file_name"]]
    copies = Copies(folder, dict(zip(images["image_id"], names, strict=True)), embed)
    sides = {"small": SMALL_SIDE, "large": results.study.images.viewing_size}
    made = _read_made(folder)
    try:
        todo = list(_missing(results, images, copies, sides, made))
        for done, (path, wanted) in enumerate(todo, start=1):
            image = opened(path)
            for name, key in wanted.items():
                kind = name.partition("/")[0]
                write_bytes(folder / name, webp(image, sides[kind], QUALITY[kind]))
                made[name] = key
            if progress is not None:
                progress(done, len(todo), "copies for the page")
    finally:
        _tidy(folder, made, set(names))
    return copies


def data_uri(image: bytes) -> str:
    """A WebP image as a data URI."""
    return "data:image/webp;base64," + base64.b64encode(image).decode("ascii")


def opened(path: Path, again: str = "evalkit generate") -> Image.Image:
    """The image, upright and in RGB; StudyError, naming the command `again`, on an unreadable."""
    try:
        with Image.open(openable(path)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:
        raise _unreadable(path, error, again) from None


def webp(image: Image.Image, side: int, quality: int) -> bytes:
    """The image as WebP, its longer side at most `side` px; a smaller one keeps its size."""
    fitted = image.copy()
    fitted.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = BytesIO()
    fitted.save(stream, format="WEBP", quality=quality)
    return stream.getvalue()


def _missing(
    results: Results, images: pd.DataFrame, copies: Copies, sides: dict[str, int],
    made: dict[str, str],
) -> Iterator[tuple[Path, dict[str, str]]]:  # fmt: skip
    """Each image that lacks a copy, with the copies to make and the key of each."""
    for row in images.itertuples():
        path = results.folder.images / row.file_name
        sha256 = row.sha256 or _sha256(path)
        wanted = {}
        for kind in ("small",) if copies.embedded else ("small", "large"):
            name = f"{kind}/{copies.files[row.image_id]}"
            key = f"{sha256}, at most {sides[kind]} px, quality {QUALITY[kind]}"
            if made.get(name) != key or not (copies.folder / name).is_file():
                wanted[name] = key
        if wanted:
            yield path, wanted


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError, again: str = "evalkit generate") -> StudyError:
    return StudyError(f"{path}: the image cannot be read ({error}); make it again with: {again}")


def _read_made(folder: Path) -> dict[str, str]:
    """What was made before; nothing where that is not known, so that all is made anew."""
    with suppress(FileNotFoundError, json.JSONDecodeError):
        return dict(json.loads((folder / "made.json").read_text("utf-8")))
    return {}


def _tidy(folder: Path, made: dict[str, str], names: set[str]) -> None:
    """Take away copies of images that no pair has any more, and note those that stand."""
    for kind in QUALITY:
        for path in (folder / kind).rglob("*.webp"):
            if path.relative_to(folder / kind).as_posix() not in names:
                path.unlink()
    kept = {name: key for name, key in made.items() if name.partition("/")[2] in names}
    if kept:
        write_json(folder / "made.json", kept)
