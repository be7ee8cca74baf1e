"""What the tests of generation share: two fast models, and sets of images to compare."""

import hashlib
from pathlib import Path

import pandas as pd

from evalkit.study_folder import StudyFolder
from tests.miniatures import small


def pair(made: dict[str, Path], **changes: object) -> dict[str, dict[str, object]]:
    """Two fast models."""
    return {
        "base": small("scenes-base", made["scenes_base"], steps=2, **changes),
        "turbo": small("sd-turbo", made["sd_turbo"]),
    }


def hashes(folder: StudyFolder) -> dict[str, str]:
    """SHA-256 of every PNG by its path from the folder of the images."""
    return {
        str(path.relative_to(folder.images)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.images.rglob("*.png"))
    }


def without_times(images: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of images.csv without the seconds, which are another every time."""
    return images.drop(columns="seconds").to_dict("records")


def strokes(function: str = "draw", size: int = 64, **arguments: object) -> dict[str, object]:
    """The table of a model of `tests.strokes`, which loads in no time and needs no torch."""
    given = {"size": size, **arguments} if function == "draw" else arguments
    table = {"callable": f"tests.strokes:{function}", "width": size, "height": size}
    return {**table, **{f"arguments.{key}": value for key, value in given.items()}}
