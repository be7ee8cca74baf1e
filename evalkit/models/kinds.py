"""The kinds of models, by how their images are made; the key of a table tells the kind."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evalkit.models.spec import ModelSpec

Precision = Literal["float32", "float16", "bfloat16"]


class DiffusionModel(ModelSpec):
    """A checkpoint in the diffusers folder format, run by the library's own pipeline.

    A repository is a folder (in the study folder, or else from where the command runs), or a name
    on the hub. A folder has no revisions of its own: there `revision` is a label, to be changed
    with the weights, so that images of the old weights are not taken for images of the new ones.

    `pipeline_class` names a diffusers class (none: the one that the checkpoint names). The UNet of
    `unet_repository` replaces the checkpoint's (as LCM-XL does): a folder with its config, or with
    `unet_file` a file of weights for the UNet that the checkpoint has. The LoRA of
    `lora_repository` is fused into the UNet. The autoencoder of `vae_repository` replaces the
    checkpoint's; a tiny one changes the image. `scheduler` names a class and replaces the
    checkpoint's own; `scheduler_settings` are those of the one that is used. `timesteps` are those
    of the steps, where the scheduler's own are not meant. `call_settings` are further arguments of
    the pipeline's call. `strength` (0 to 1] makes it image-to-image: it begins from the prompt's
    input image and runs int(steps * strength) steps. `compile` changes speed and last bits only.
    """

    KEY: ClassVar[str] = "repository"
    SAID: ClassVar[frozenset[str]] = ModelSpec.SAID | {"compile"}

    repository: str
    revision: str | None = None
    variant: str | None = None
    pipeline_class: str | None = None
    unet_repository: str | None = None
    unet_subfolder: str | None = None
    unet_revision: str | None = None
    unet_variant: str | None = None
    unet_file: str | None = None
    lora_repository: str | None = None
    lora_revision: str | None = None
    lora_file: str = "pytorch_lora_weights.safetensors"
    vae_repository: str | None = None
    vae_revision: str | None = None
    scheduler: str | None = None
    scheduler_settings: dict[str, Any] = Field(default_factory=dict)
    steps: int = Field(ge=1, le=1000)
    timesteps: Annotated[tuple[int, ...], Field(strict=False)] | None = None
    guidance: float = Field(ge=0, le=50)
    negative_prompt: str = ""
    strength: float | None = Field(default=None, gt=0, le=1)
    call_settings: dict[str, Any] = Field(default_factory=dict)
    precision: Precision = "float32"
    vae_precision: Precision | None = None
    compile: bool = False

    @property
    def takes_image(self) -> bool:
        return self.strength is not None

    def summary(self) -> str:
        return (
            f"{self.repository}, {self.width}x{self.height}, steps {self.steps}, "
            f"guidance {self.guidance:g}"
        )

    @model_validator(mode="after")
    def _some_steps_run(self) -> Self:
        # int() as the library does it: 3 steps of strength .3 are none.
        if self.strength is not None and int(self.steps * self.strength) < 1:
            raise ValueError(
                f"steps = {self.steps} with strength = {self.strength:g} runs "
                f"int({self.steps} * {self.strength:g}) = 0 steps; at least 1 is needed"
            )
        if self.timesteps is not None and len(self.timesteps) != self.steps:
            raise ValueError(
                f"timesteps has {len(self.timesteps)} numbers for steps = {self.steps}; "
                "as many are needed"
            )
        return self


class Stage(BaseModel):
    """One stage of a cascade: a checkpoint and how it is run; `noise_level` of an upscaler."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    repository: str
    revision: str | None = None
    variant: str | None = None
    steps: int = Field(ge=1, le=1000)
    guidance: float = Field(ge=0, le=50)
    noise_level: int | None = Field(default=None, ge=0, le=1000)


class CascadeModel(ModelSpec):
    """Pipelines one after another, each enlarging the image of the one before, as DeepFloyd IF."""

    KEY: ClassVar[str] = "stages"

    stages: Annotated[tuple[Stage, ...], Field(strict=False, min_length=1)]
    negative_prompt: str = ""
    precision: Precision = "float32"

    def summary(self) -> str:
        names = " -> ".join(stage.repository for stage in self.stages)
        return f"{names}, {self.width}x{self.height}"


class ImportedModel(ModelSpec):
    """Images that were made elsewhere: `images` is a folder or a table of files.

    A folder has PROMPT_ID/SEED.EXT or PROMPT_ID_SEED.EXT; a table (.csv, .tsv) has the columns
    `prompt_id` or `prompt`, `seed` and `file`, the files named from where the table lies. A path
    is looked up from the study folder.
    """

    KEY: ClassVar[str] = "images"

    images: str


class FunctionModel(ModelSpec):
    """A Python function of the user's own, from prompts and seeds to images.

    `callable = "package.module:function"` is called with a list of prompts, a list of seeds and
    `arguments` by keyword; it gives one PIL image for each, in order, or None where it has none.
    """

    KEY: ClassVar[str] = "callable"

    callable: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    arguments: dict[str, Any] = Field(default_factory=dict)


class CommandModel(ModelSpec):
    """A command that writes one image; run without a shell, once per image.

    `{prompt}`, `{seed}`, `{width}`, `{height}` and `{file}` in its words are put in; `{file}` is
    where it has to write.
    """

    KEY: ClassVar[str] = "command"

    command: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]

    def summary(self) -> str:
        return f"command {self.command[0]}, {self.width}x{self.height}"


KINDS: dict[str, type[ModelSpec]] = {
    kind.KEY: kind
    for kind in (DiffusionModel, CascadeModel, ImportedModel, FunctionModel, CommandModel)
}
