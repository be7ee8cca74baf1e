"""Pixels from elsewhere: decoded, upright, RGB and of the model's size; else one sentence."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from evalkit.errors import ModelError, first_line, listed
from evalkit.models import ModelSpec
from evalkit.pipelines.pipeline import Rendered

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_FORMATS = ("PNG", "JPEG", "WEBP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # 8 bits or fewer, red, green, blue or grey


def read_image(file: Path, spec: ModelSpec, where: str) -> Image.Image:
    """The image in a PNG, JPEG or WebP file, as `rgb` gives it; ModelError where there is none."""
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.format == "PNG" and _png_depth(file) > 8:
                raise ModelError(
                    f"{where}: has {_png_depth(file)} bits per colour; allowed are 8; convert it"
                )
            image.load()
            return rgb(image, spec, where)
    except ModelError:
        raise
    except Exception as error:  # broken files fail in many ways, each the user's to mend
        raise ModelError(
            f"{where}: cannot be decoded ({first_line(error)}); allowed are {listed(_FORMATS)}; "
            "make the file anew"
        ) from error


def rgb(image: Image.Image, spec: ModelSpec, where: str) -> Image.Image:
    """The image turned as its EXIF data say, in RGB, without metadata.

    An opaque alpha channel is dropped; colour profiles are not applied. Raises ModelError on
    transparent pixels (what is seen there is up to a background), on more than one frame, on
    colours that are not RGB or grey in 8 bits, and on another size than that of `spec`.
    """
    if getattr(image, "n_frames", 1) > 1:
        raise ModelError(f"{where}: has {image.n_frames} frames; allowed is one; save the one")
    if image.mode not in _MODES:
        raise ModelError(
            f"{where}: has pixels of the mode {image.mode}; allowed are RGB and grey in 8 bits; "
            "convert it"
        )
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data and upright.convert("RGBA").getextrema()[3][0] < 255:
        raise ModelError(
            f"{where}: has transparent pixels; allowed are opaque ones; put it on a background"
        )
    if upright.size != (spec.width, spec.height):
        raise ModelError(
            f"{where}: is {upright.width}x{upright.height} px; allowed is {spec.width}x"
            f"{spec.height}, the model's width and height; make it so, or correct them in "
            "study.toml"
        )
    return Image.fromarray(np.asarray(upright.convert("RGB")))  # without its metadata


def _png_depth(file: Path) -> int:
    """Bits per colour; Pillow cuts 16 of them to 8 and says nothing."""
    with file.open("rb") as stream:
        return stream.read(25)[24]  # after signature, length, name, width, height (IHDR)


def rendered(image: Image.Image) -> Rendered:
    """The image, unless it is all black, as safety filters leave it."""
    if image.getbbox() is None:
        return Rendered("failed", reason="all black")
    return Rendered("ok", image)
