"""ModelSpec: what every kind of model says, and which image it makes for a prompt and a seed."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)


class ModelSpec(BaseModel):
    """A model under one name; frozen. Each kind (see `evalkit.models.kinds`) adds its settings.

    An empty text means none: `variant = ""` takes back the variant of the catalogue entry.
    `width` and `height` are px of the finished image.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    KEY: ClassVar[str]  # the key of a model table that makes it this kind
    SAID: ClassVar[frozenset[str]] = frozenset({"name", "catalogue", "licence", "source", "note"})
    REPOSITORIES: ClassVar[tuple[str, ...]] = ()  # the settings that may name a checkpoint's folder

    name: str
    catalogue: str | None = None
    width: int = Field(ge=8, le=4096, multiple_of=8)
    """Width of the finished image, in px."""
    height: int = Field(ge=8, le=4096, multiple_of=8)
    """Height of the finished image, in px."""
    licence: str = ""
    source: str = ""
    note: str = ""

    _folder: Path = PrivateAttr(default=Path())

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any, field: ValidationInfo) -> Any:
        optional = cls.model_fields[field.field_name].default is None
        return None if optional and value == "" else value

    @field_validator("*")
    @classmethod
    def _has_finite_numbers(cls, value: Any) -> Any:
        if isinstance(value, dict) and not _is_finite(value):
            raise ValueError("nan and inf are the same in the id of an image; give finite numbers")
        return value

    @classmethod
    def changeable(cls) -> tuple[str, ...]:
        """The keys that a study file may give: all but what the catalogue alone says."""
        return tuple(key for key in cls.model_fields if key not in ModelSpec.SAID)

    @property
    def takes_image(self) -> bool:
        """Whether it makes its image from an input image of the prompt."""
        return False

    @property
    def folder(self) -> Path:
        """From where relative paths are looked up: of a located spec the study folder."""
        return self._folder

    def located(self, root: Path) -> Self:
        """A copy for loading: its `folder` is `root`, its repositories there are full paths.

        A repository that is no folder in `root` stays as it is: a name on the hub, or a folder
        from where the command runs. The settings of the copy are not those of the study.
        """
        given = {key: getattr(self, key) for key in self.REPOSITORIES}
        copy = self.model_copy(
            update={key: found_in(root, value) for key, value in given.items() if value}
        )
        copy._folder = root.absolute()
        return copy

    def settings(self) -> dict[str, Any]:
        """The settings that decide the image: all but the name and what is only said about it.

        Those at their default are left out, so that a setting that comes to be later leaves the ids
        of older images as they are.
        """
        return self.model_dump(mode="json", exclude=set(self.SAID), exclude_defaults=True)

    def image_id(self, prompt: str, seed: int, input_sha256: str = "") -> str:
        """32 hex digits: a hash of settings, prompt and seed, so a changed setting is a new image.

        The prompt's text counts, not its id; `input_sha256` is the hash of the input image's file
        and counts where the model takes one.
        """
        content = {"settings": self.settings(), "prompt": prompt, "seed": seed}
        if self.takes_image:
            content["input"] = input_sha256
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]

    def summary(self) -> str:
        """The model in a few words: where it comes from, its size."""
        return f"{self.KEY} {getattr(self, self.KEY)}, {self.width}x{self.height}"


def _is_finite(value: Any) -> bool:
    """Whether all numbers in a table, a list or a value of it are finite."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def found_in(root: Path, repository: str) -> str:
    """The full path of a repository that is a folder in `root`; any other as it stands."""
    path = root / repository
    return str(path.absolute()) if path.is_dir() else repository
