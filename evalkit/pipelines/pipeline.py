"""What every kind of pipeline offers: prompts and seeds in, one image or one reason each out."""

from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image


@dataclass(frozen=True)
class Rendered:
    """An image, or the reason why there is none.

    `status` is one of `tables.IMAGE_STATUSES`: `filtered` by the checkpoint's own safety filter,
    `failed` where the pixels are not finite or all black. `image` (RGB) is there only for `ok`.
    """

    status: str
    image: Image.Image | None = None
    reason: str = ""


class Pipeline(Protocol):
    """A loaded model."""

    @property
    def made_with(self) -> dict[str, Any]:
        """What decides the pixels beside the settings: device, resolved precision, versions."""
        ...

    def render(self, prompts: list[str], seeds: list[int]) -> list[Rendered]:
        """One result per (prompt, seed), in order; none for none. ModelError where it cannot."""
        ...

    def close(self) -> None:
        """Give the device's memory back."""
        ...
