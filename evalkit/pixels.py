"""Pixels from elsewhere: decoded, upright, opaque RGB in 8 bits; else one sentence."""

import io
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from evalkit.errors import ModelError, first_line, listed

_FORMATS = ("PNG", "JPEG", "WEBP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # 8 bits or fewer, red, green, blue or grey


def decoded(file: Path, where: str) -> Image.Image:
    """The image in a PNG, JPEG or WebP file, as `plain` gives it; ModelError without one."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _undecodable(where, first_line(error)) from error
    return decoded_bytes(data, where)


def decoded_bytes(data: bytes, where: str) -> Image.Image:
    """The image in the bytes of such a file; see `decoded`."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.format == "PNG" and _png_depth(data) > 8:
                raise ModelError(
                    f"{where}: has {_png_depth(data)} bits per colour; allowed are 8; convert it"
                )
            image.load()
            return plain(image, where)
    except ModelError:
        raise
    except UnidentifiedImageError as error:  # whose own words name an address in memory
        raise _undecodable(where, "UnidentifiedImageError: no image is in it") from error
    except Exception as error:  # broken files fail in many ways, each the user's to mend
        raise _undecodable(where, first_line(error)) from error


def _undecodable(where: str, why: str) -> ModelError:
    return ModelError(
        f"{where}: cannot be decoded ({why}); allowed are {listed(_FORMATS)}; make the file anew"
    )


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
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    upright = ImageOps.exif_transpose(image) if turned else image
    if upright.has_transparency_data and upright.convert("RGBA").getextrema()[3][0] < 255:
        raise ModelError(
            f"{where}: has transparent pixels; allowed are opaque ones; put it on a background"
        )
    bare = Image.new("RGB", upright.size)  # without its metadata
    bare.paste(upright.convert("RGB"))
    return bare


def _png_depth(data: bytes) -> int:
    """Bits per colour; Pillow cuts 16 of them to 8 and says nothing."""
    return data[24]  # after signature, length, name, width, height (IHDR)
