"""ModelSpec: everything that decides which image a model makes for a prompt and a seed."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ModelSpec(BaseModel):
    """A checkpoint with its revision and settings under one name; frozen.

    Where `unet_repository` is given, that UNet replaces the one in `repository` (as LCM-XL does);
    where `lora_repository` is given, its LoRA is fused into the UNet. `scheduler` names a diffusers
    class and replaces the checkpoint's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    catalogue: str
    pipeline: Literal["diffusers"] = "diffusers"
    repository: str
    revision: str | None = None
    variant: str | None = None
    unet_repository: str | None = None
    unet_subfolder: str | None = None
    unet_variant: str | None = None
    lora_repository: str | None = None
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

    def settings(self) -> dict[str, Any]:
        """The settings that decide the image: all but the name and what is only said about it."""
        return self.model_dump(exclude={"name", "catalogue", "licence", "source"})

    def image_id(self, prompt: str, seed: int) -> str:
        """32 hex digits: a hash of settings, prompt and seed, so a changed setting is a new image.

        The prompt's text counts, not its id.
        """
        content = {"settings": self.settings(), "prompt": prompt, "seed": seed}
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]
