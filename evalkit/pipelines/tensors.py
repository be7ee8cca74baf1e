"""Images on their way in and out of a library pipeline, which has them as tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps

from evalkit.errors import ModelError, first_line
from evalkit.pipelines.pipeline import Rendered, Request


def finished(images: torch.Tensor, filtered: Sequence[bool]) -> list[Rendered]:
    """One result for each of n x 3 x height x width numbers in [0, 1], on any device.

    They are rounded on their device and come to the CPU once, as bytes.
    """
    flat = images.flatten(1)
    flags = torch.stack([torch.isfinite(flat).all(1), (flat != 0).any(1)], 1)
    pixels = (images.float() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return [
        _result(array, finite, lit, withheld)
        for array, (finite, lit), withheld in zip(
            pixels.cpu().numpy(), flags.tolist(), filtered, strict=True
        )
    ]


def _result(array: np.ndarray, finite: bool, lit: bool, withheld: bool) -> Rendered:
    if withheld:
        return Rendered("filtered", reason="the checkpoint's safety filter")
    if not finite:
        return Rendered("failed", reason="pixels that are not finite numbers")
    if not lit:
        return Rendered("failed", reason="all black")
    return Rendered("ok", Image.fromarray(array))


def input_image(request: Request, width: int, height: int, where: str) -> Image.Image:
    """The input image of a request, RGB, width x height px: its middle, scaled where it has to be.

    Raises ModelError where the prompt has none, or its file is not an image.
    """
    if request.input_image is None:
        raise ModelError(
            f"{where}: the prompt {request.prompt_id} has no input image, from which this model "
            "begins; give the prompts a column input_image, or take strength back"
        )
    try:
        with Image.open(request.input_image) as image:
            rgb = ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:  # broken files fail in many ways, each the user's to mend
        raise ModelError(
            f"{where}: the input image {request.input_image} of the prompt {request.prompt_id} "
            f"cannot be read ({first_line(error)}); put an image file there"
        ) from error
    if rgb.size == (width, height):
        return rgb
    return ImageOps.fit(rgb, (width, height), Image.Resampling.LANCZOS)
