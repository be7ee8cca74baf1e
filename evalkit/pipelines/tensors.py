"""Images on their way in and out of a library pipeline, which has them as tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps

from evalkit.pipelines.pipeline import Rendered, Request
from evalkit.pipelines.pixels import input_image


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


def fitted_input(request: Request, width: int, height: int, where: str) -> Image.Image:
    """The input image of a request, RGB, width x height px: its middle, scaled where it has to be.

    Raises ModelError as `pixels.input_image`.
    """
    rgb = input_image(request, where)
    if rgb.size == (width, height):
        return rgb
    return ImageOps.fit(rgb, (width, height), Image.Resampling.LANCZOS)
