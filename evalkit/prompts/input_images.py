"""Input images of a study's prompts: found beside their source, looked at, kept with the study."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from evalkit.errors import ModelError, StudyError, TableError
from evalkit.files import file_sha256, write_bytes
from evalkit.pixels import decoded

_FOLDER = "inputs"


@dataclass(frozen=True)
class InputImages:
    """A study's prompts with `input_image` and `input_sha256`, and the files that these are of.

    `input_image` is a path in the study folder, `inputs/` and the begin of the file's hash, so that
    the folder can be moved; `files` has for each such path the file that it is copied from.
    """

    prompts: pd.DataFrame
    files: dict[str, Path]


def find_input_images(
    prompts: pd.DataFrame, folder: Path | None, root: Path, where: str, model: str
) -> InputImages:
    """The input image that each of these prompts (rows of `PromptSet.table`) names.

    A file is looked up from `folder` (the source's; None: it has none), then from the study folder
    `root`. `where` is the source and `model` a model that needs the images, for sentences. Nothing
    is written. Raises StudyError for the first prompt without an image, or whose image is missing
    or not as `pixels.decoded` has them, TableError where a prompt and its image stand together
    twice.
    """
    names, hashes, files = [], [], {}
    seen: dict[tuple[str, str], str] = {}
    for row in prompts.itertuples():
        at = f"{where}: {row.place}"
        file = _find(row.image, folder, root, at, model)
        ending = _ending(file, at)
        sha256 = file_sha256(file)
        if (row.prompt, sha256) in seen:
            raise TableError(
                f"{at}: the same prompt with the same image stands in "
                f"{seen[row.prompt, sha256]} already; a prompt is asked once; remove one of them"
            )
        seen[row.prompt, sha256] = row.place
        name = f"{_FOLDER}/{sha256[:16]}{ending}"
        names.append(name)
        hashes.append(sha256)
        files[name] = file
    return InputImages(prompts.assign(input_image=names, input_sha256=hashes), files)


def copy_input_images(files: dict[str, Path], root: Path) -> None:
    """Copy the files to their paths in the study folder `root`, where they are not there yet."""
    for name, file in files.items():
        target = root / name
        if not target.is_file() or file_sha256(target) != file_sha256(file):
            write_bytes(target, file.read_bytes())


def _find(name: str, folder: Path | None, root: Path, at: str, model: str) -> Path:
    if not name:
        raise StudyError(
            f"{at}: no input image, and the model {model} begins from one; name its file in a "
            "column input_image"
        )
    places = [place for place in (folder, root) if place is not None]
    for place in places:
        if (place / name).is_file():
            return place / name
    raise StudyError(
        f'{at}: no input image "{places[0] / name}"; a file is named from where the source lies, '
        "or from the study folder; correct it"
    )


def _ending(file: Path, at: str) -> str:
    """The ending of the format that the file's bytes are, all of which are decoded."""
    try:
        decoded(file, f"{at}: the input image {file}")
    except ModelError as error:
        raise StudyError(str(error)) from None
    with Image.open(file) as image:
        return f".{str(image.format).lower()}"
