"""Pixels from elsewhere: decoded, upright, opaque RGB in 8 bits; else one sentence."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from evalkit.errors import ModelError, first_line, listed

_FORMATS = ("PNG", "JPEG", "WEBP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # 8 bits or fewer, red, green, blue or grey


def decoded(file: Path, where: str) -> Image.Image:
    """The image in a PNG, JPEG or WebP file, as `plain` gives it; ModelError without one."""
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.format == "PNG" and _png_depth(file) > 8:
                raise ModelError(
                    f"{where}: has {_png_depth(file)} bits per colour; allowed are 8; convert it"
                )
            image.load()
            return plain(image, where)
    except ModelError:
        raise
    except Exception as error:  # broken files fail in many ways, each the user's to mend
        raise ModelError(
            f"{where}: cannot be decoded ({first_line(error)}); allowed are {listed(_FORMATS)}; "
            "make the file anew"
        ) from error


def plain(image: Image.Image, where: str) -> Image.Image:
    """The image turned as its EXIF data say, in RGB, without metadata.

    An opaque alpha channel is dropped; colour profiles are not applied. Raises ModelError on
    transparent pixels (what is seen there is up to a background), on more than one frame, and on
    colours that are not RGB or grey in 8 bits.
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
    return Image.fromarray(np.asarray(upright.convert("RGB")))  # without its metadata


def _png_depth(file: Path) -> int:
    """Bits per colour; Pillow cuts 16 of them to 8 and says nothing."""
    with file.open("rb") as stream:
        return stream.read(25)[24]  # after signature, length, name, width, height (IHDR)
