"""Image -> the public bytes an annotator may see; pairs and checks without the model names."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError

from evalkit import tables
from evalkit.errors import StudyError
from evalkit.files import openable

CANVAS_COLOUR = (128, 128, 128)  # fills what an image that is not square leaves free
_CELLS = 16  # a pixelated foil is a mosaic of so many cells a side: plainly worse at any size

Treatment = Literal["plain", "pixelated"]


def public_png(image: Path, viewing_size: int, treatment: Treatment = "plain") -> bytes:
    """A PNG of `viewing_size` x `viewing_size` px, RGB, without metadata.

    The image is decoded, fitted into the square by Lanczos (smaller and larger alike), what it
    leaves free is mid-grey, and saved afresh. `pixelated` is a mosaic of 16 x 16 cells.
    Raises StudyError on a file that is missing or no image.
    """
    try:
        with Image.open(openable(image)) as opened:
            decoded = ImageOps.exif_transpose(opened).convert("RGBA")
    except (FileNotFoundError, UnidentifiedImageError, OSError) as error:
        raise StudyError(
            f"{image}: cannot be read as an image ({error}); make it again with: evalkit generate"
        ) from None
    fitted = ImageOps.contain(decoded, (viewing_size, viewing_size), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (viewing_size, viewing_size), (*CANVAS_COLOUR, 255))
    corner = ((viewing_size - fitted.width) // 2, (viewing_size - fitted.height) // 2)
    canvas.alpha_composite(fitted, corner)
    public = canvas.convert("RGB")
    if treatment == "pixelated":
        public = public.resize((_CELLS, _CELLS), Image.Resampling.BOX)
        public = public.resize((viewing_size, viewing_size), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    public.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def padded(data: bytes, length: int) -> bytes:
    """`data` with zeros after it up to `length` bytes; decoders stop at the image's end."""
    if len(data) > length:
        raise ValueError(f"{len(data)} bytes do not fit into {length}")
    return data.ljust(length, b"\0")


def shown_images(pairs: pd.DataFrame, checks: pd.DataFrame) -> list[tuple[str, Treatment]]:
    """The images to make public, each with its treatment, in the order of the image ids."""
    plain = {*pairs["image_a"], *pairs["image_b"], *checks["image_a"], *checks["image_b"]}
    pixelated = checks.loc[checks["foil"] == "pixelated", "image_a"]
    shown: Iterable[tuple[str, Treatment]] = (
        *((image_id, "plain") for image_id in plain),
        *((image_id, "pixelated") for image_id in set(pixelated)),
    )
    return sorted(shown)


def blind_pairs(
    pairs: pd.DataFrame,
    checks: pd.DataFrame,
    prompts: pd.DataFrame,
    public_names: Mapping[tuple[str, Treatment], str],
    seed: int,
) -> pd.DataFrame:
    """Pairs and checks (`tables.BLINDED_PAIRS`) with opaque file names and matchup codes.

    A check names its question, role, expected image and foil; a pair is for all questions, of role
    main, and leaves the others empty. Rows are in the order of the pair ids, which are hashes.
    `public_names` has a name for each of `shown_images`.
    """
    rng = np.random.default_rng(seed)
    matchups = sorted(set(zip(pairs["model_a"], pairs["model_b"], strict=True)))
    numbers = rng.permutation(len(matchups)) + 1
    codes = {matchup: f"matchup-{n}" for matchup, n in zip(matchups, numbers, strict=True)}
    texts = dict(zip(prompts["prompt_id"], prompts["prompt"], strict=True))
    rows = [
        {
            "pair_id": pair.pair_id,
            "question_id": "",
            "matchup": codes[pair.model_a, pair.model_b],
            "prompt_id": pair.prompt_id,
            "foil_prompt_id": pair.prompt_id,
            "prompt": texts[pair.prompt_id],
            "file_a": public_names[pair.image_a, "plain"],
            "file_b": public_names[pair.image_b, "plain"],
            "role": "main",
            "expected": "",
            "foil": "",
        }
        for pair in pairs.itertuples()
    ]
    for check in checks.itertuples():
        wrong = "pixelated" if check.foil == "pixelated" else "plain"
        treated = {side: "plain" if side == check.expected else wrong for side in "ab"}
        rows.append(
            {
                "pair_id": check.pair_id,
                "question_id": check.question_id,
                "matchup": "check",
                "prompt_id": check.prompt_id,
                "foil_prompt_id": check.foil_prompt_id,
                "prompt": texts[check.prompt_id],
                "file_a": public_names[check.image_a, treated["a"]],
                "file_b": public_names[check.image_b, treated["b"]],
                "role": check.role,
                "expected": check.expected,
                "foil": check.foil,
            }
        )
    blinded = pd.DataFrame(rows, columns=tables.BLINDED_PAIRS.names)
    return tables.check(blinded.sort_values("pair_id"), tables.BLINDED_PAIRS, "blinded pairs")
