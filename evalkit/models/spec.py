"""ModelSpec: everything that decides which image a model makes for a prompt and a seed."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class ModelSpec(BaseModel):
    """A checkpoint with its revision and settings under one name; frozen.

    Where `unet_repository` is given, that UNet replaces the one in `repository` (as LCM-XL does);
    where `lora_repository` is given, its LoRA is fused into the UNet. `scheduler` names a diffusers
    class and replaces the checkpoint's own; `scheduler_settings` are those of the one that is used.
    An empty text means none: `variant = ""` takes back the variant of the catalogue entry.

    A repository is a folder (in the study folder, or else from where the command runs), or a name
    on the hub. A folder has no revisions of its own: there `revision` is a label, to be changed
    with the weights, so that images of the old weights are not taken for images of the new ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    catalogue: str
    pipeline: Literal["diffusers"] = "diffusers"
    repository: str
    revision: str | None = None
    variant: str | None = None
    unet_repository: str | None = None
    unet_subfolder: str | None = None
    unet_revision: str | None = None
    unet_variant: str | None = None
    lora_repository: str | None = None
    lora_revision: str | None = None
    lora_file: str = "pytorch_lora_weights.safetensors"
    scheduler: str | None = None
    scheduler_settings: dict[str, Any] = Field(default_factory=dict)
    steps: int = Field(ge=1, le=1000)
    guidance: float = Field(ge=0, le=50)
    negative_prompt: str = ""
    width: int = Field(ge=8, le=4096, multiple_of=8)
    height: int = Field(ge=8, le=4096, multiple_of=8)
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    vae_precision: Literal["float32", "float16", "bfloat16"] | None = None
    licence: str = ""
    source: str = ""

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any, field: ValidationInfo) -> Any:
        optional = cls.model_fields[field.field_name].default is None
        return None if optional and value == "" else value

    def settings(self) -> dict[str, Any]:
        """The settings that decide the image: all but the name and what is only said about it.

        Those at their default are left out, so that a setting that comes to be later leaves the ids
        of older images as they are.
        """
        said = {"name", "catalogue", "licence", "source"}
        return self.model_dump(exclude=said, exclude_defaults=True)

    def image_id(self, prompt: str, seed: int) -> str:
        """32 hex digits: a hash of settings, prompt and seed, so a changed setting is a new image.

        The prompt's text counts, not its id.
        """
        content = {"settings": self.settings(), "prompt": prompt, "seed": seed}
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]
