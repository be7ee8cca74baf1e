"""Images that a pipeline is given: input images, and finished ones of the model's size."""

from pathlib import Path

from PIL import Image

from evalkit.errors import ModelError
from evalkit.models import ModelSpec
from evalkit.pipelines.pipeline import Rendered, Request
from evalkit.pixels import decoded, plain

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def input_image(request: Request, where: str) -> Image.Image:
    """The input image of a request in its own size, as `decoded` gives it.

    Raises ModelError where the prompt has none, or its file is not such an image.
    """
    if request.input_image is None:
        raise ModelError(
            f"{where}: the prompt {request.prompt_id} has no input image, from which this model "
            "begins; give the prompts a column input_image, or take another model"
        )
    of = f"the input image {request.input_image} of the prompt {request.prompt_id}"
    return decoded(request.input_image, f"{where}: {of}")


def read_image(file: Path, spec: ModelSpec, where: str) -> Image.Image:
    """The image in a file, as `decoded` gives it, of the size of `spec`; else ModelError."""
    return _of_size(decoded(file, where), spec, where)


def rgb(image: Image.Image, spec: ModelSpec, where: str) -> Image.Image:
    """The image as `plain` gives it; ModelError, too, on another size than that of `spec`."""
    return _of_size(plain(image, where), spec, where)


def _of_size(image: Image.Image, spec: ModelSpec, where: str) -> Image.Image:
    if image.size != (spec.width, spec.height):
        raise ModelError(
            f"{where}: is {image.width}x{image.height} px; allowed is {spec.width}x"
            f"{spec.height}, the model's width and height; make it so, or correct them in "
            "study.toml"
        )
    return image


def rendered(image: Image.Image) -> Rendered:
    """The image, unless it is all black, as safety filters leave it."""
    if image.getbbox() is None:
        return Rendered("failed", reason="all black")
    return Rendered("ok", image)
