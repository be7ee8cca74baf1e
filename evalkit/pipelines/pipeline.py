"""What every kind of pipeline offers: requests in, one image or one reason each out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from evalkit.errors import ModelError


@dataclass(frozen=True)
class Request:
    """One image that is wanted; `input_image` is what an image-to-image model starts from."""

    prompt_id: str
    prompt: str
    seed: int
    input_image: Path | None = None


@dataclass(frozen=True)
class Rendered:
    """An image, or the reason why there is none.

    `status` is one of `tables.IMAGE_STATUSES`: `filtered` by the checkpoint's own safety filter,
    `failed` where the pixels are not finite or all black, or a function gave none. `image` (RGB) is
    there only for `ok`. `source_sha256` is that of the file that an imported image was read from.
    """

    status: str
    image: Image.Image | None = None
    reason: str = ""
    source_sha256: str = ""


class OutOfMemoryError(ModelError):
    """So many images in one call do not fit into the device's memory."""


class Pipeline(Protocol):
    """A loaded model."""

    @property
    def timed(self) -> bool:
        """Whether the time of `render` is the model's; of imported images it says nothing."""
        ...

    @property
    def made_with(self) -> dict[str, Any]:
        """What decides the pixels beside the settings: device, resolved precision, versions."""
        ...

    def render(self, requests: Sequence[Request]) -> list[Rendered]:
        """One result per request, in order; none for none.

        Raises OutOfMemoryError where fewer at once may fit, ModelError where it cannot at all.
        """
        ...

    def close(self) -> None:
        """Give the device's memory back."""
        ...
