"""The kinds of models, by how their images are made; the key of a table tells the kind."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from evalkit.errors import listed, nearest
from evalkit.models.spec import ModelSpec, found_in

Precision = Literal["float32", "float16", "bfloat16"]
PLACEHOLDER = re.compile(r"\{(\w+)\}")  # in the words of a command


class DiffusionModel(ModelSpec):
    """A checkpoint in the diffusers folder format, run by the library's own pipeline.

    A repository is a folder (in the study folder, or else from where the command runs), or a name
    on the hub. A folder has no revisions of its own: there `revision` is a label, to be changed
    with the weights, so that images of the old weights are not taken for images of the new ones.
    """

    KEY: ClassVar[str] = "repository"
    SAID: ClassVar[frozenset[str]] = ModelSpec.SAID | {"compile"}
    REPOSITORIES: ClassVar[tuple[str, ...]] = (
        "repository",
        "unet_repository",
        "lora_repository",
        "vae_repository",
    )

    repository: str
    """A folder in the diffusers format, or a name on the hub."""
    revision: str | None = None
    """A commit, tag or branch on the hub; of a folder a label, to be changed with its weights."""
    variant: str | None = None
    """Which files of the repository: fp16 takes *.fp16.safetensors."""
    pipeline_class: str | None = None
    """A pipeline of diffusers, where not the one that fits the checkpoint."""
    unet_repository: str | None = None
    """A UNet that replaces the checkpoint's, as LCM-XL does."""
    unet_subfolder: str | None = None
    """The sub-folder that the UNet lies in."""
    unet_revision: str | None = None
    """As revision, of the UNet."""
    unet_variant: str | None = None
    """As variant, of the UNet."""
    unet_file: str | None = None
    """A file of weights without a config, for the UNet that the checkpoint has."""
    lora_repository: str | None = None
    """A LoRA that is fused into the UNet."""
    lora_revision: str | None = None
    """As revision, of the LoRA."""
    lora_file: str = "pytorch_lora_weights.safetensors"
    """The file of the LoRA."""
    vae_repository: str | None = None
    """An autoencoder that replaces the checkpoint's; a tiny one changes the image."""
    vae_revision: str | None = None
    """As revision, of the autoencoder."""
    scheduler: str | None = None
    """A scheduler of diffusers, or TurboScheduler, that replaces the checkpoint's own."""
    scheduler_settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the scheduler that is used."""
    steps: int = Field(ge=1, le=1000)
    """How many steps."""
    timesteps: Annotated[tuple[int, ...], Field(strict=False)] | None = None
    """The time of each step, where the scheduler's own are not meant; as many as steps."""
    guidance: float = Field(ge=0, le=50)
    """The guidance scale; 0 or 1 is none, except where the model has it embedded."""
    negative_prompt: str = ""
    """What the image is not to show; without guidance it changes nothing."""
    strength: float | None = Field(default=None, gt=0, le=1)
    """Image to image, from the prompt's input image: runs int(steps * strength) steps."""
    call_settings: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the pipeline's call."""
    precision: Precision = "float32"
    """What it computes in; on a CPU always float32."""
    vae_precision: Precision | None = None
    """What the autoencoder computes in, where not as the library has it for precision."""
    compile: bool = False
    """Compile it; changes speed and last bits only."""

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
    """One stage of a cascade: a checkpoint and how it is run.

    `noise_level` is how noisy the image before is made where a stage enlarges it: a timestep, 0 to
    1000 (none: the library's own).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    repository: str
    """A folder in the diffusers format, or a name on the hub."""
    revision: str | None = None
    """A commit, tag or branch on the hub; of a folder a label."""
    variant: str | None = None
    """Which files of the repository: fp16 takes *.fp16.safetensors."""
    steps: int = Field(ge=1, le=1000)
    """How many steps."""
    guidance: float = Field(ge=0, le=50)
    """The guidance scale."""
    noise_level: int | None = Field(default=None, ge=0, le=1000)
    """How noisy the image before is made, where not as the library has it."""


class CascadeModel(ModelSpec):
    """Pipelines one after another, each enlarging the image of the one before, as DeepFloyd IF.

    The first stage makes an image in pixels from the text (IFPipeline); each other one enlarges it
    (IFSuperResolutionPipeline, StableDiffusionUpscalePipeline) to the size that its checkpoint
    has; `width` and `height` are those of the last.
    """

    KEY: ClassVar[str] = "stages"

    stages: Annotated[tuple[Stage, ...], Field(strict=False, min_length=1)]
    """One [[models.NAME.stages]] each, all of them given anew."""
    negative_prompt: str = ""
    """What the image is not to show."""
    precision: Precision = "float32"
    """What it computes in; on a CPU always float32."""
    vae_precision: Precision | None = None
    """What the autoencoder of a stage in latents computes in, where not as the library has it."""

    def located(self, root: Path) -> Self:
        stages = [
            stage.model_copy(update={"repository": found_in(root, stage.repository)})
            for stage in self.stages
        ]
        return super().located(root).model_copy(update={"stages": tuple(stages)})

    def summary(self) -> str:
        names = " -> ".join(stage.repository for stage in self.stages)
        return f"{names}, {self.width}x{self.height}"

    @field_validator("stages")
    @classmethod
    def _only_what_enlarges_has_noise(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        if stages[0].noise_level is not None:
            raise ValueError(
                f"the first stage has noise_level = {stages[0].noise_level}, but no image before "
                "it; only a stage that enlarges has a noise_level"
            )
        return stages


class ImportedModel(ModelSpec):
    """Images that were made elsewhere: `images` is a folder or a table of files.

    A folder has PROMPT_ID/SEED.EXT or PROMPT_ID_SEED.EXT; a table (.csv, .tsv) has the columns
    `prompt_id` or `prompt`, `seed` and `file`, the files named from where the table lies. A path
    is looked up from the study folder. `revision` is a label, to be changed with the files, so
    that those imported before are not taken for the new ones.
    """

    KEY: ClassVar[str] = "images"

    images: str
    """A folder or a table (.csv, .tsv) of image files, looked up from the study folder."""
    revision: str | None = None
    """A label, to be changed with the files."""


class FunctionModel(ModelSpec):
    """A Python function of the user's own, from prompts and seeds to images.

    `callable = "package.module:function"` is called with a list of prompts, a list of seeds and
    `arguments` by keyword; it gives one image for each, in order, or None where it has none. With
    `input_images` it gets a list of the prompts' input images by that keyword. `revision` is a
    label, to be changed with the code, so that images of the old code are not taken for the new.
    """

    KEY: ClassVar[str] = "callable"

    callable: str
    """package.module:function, from prompts and seeds to images."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the function."""
    input_images: bool = False
    """Whether it takes the prompts' input images."""
    revision: str | None = None
    """A label, to be changed with the code."""

    @property
    def takes_image(self) -> bool:
        return self.input_images

    @field_validator("callable")
    @classmethod
    def _names_a_function(cls, callable: str) -> str:
        module, _, function = callable.partition(":")
        if not (function.isidentifier() and all(map(str.isidentifier, module.split(".")))):
            raise ValueError("allowed is package.module:function")
        return callable


class CommandModel(ModelSpec):
    """A command that writes one image; run in the study folder, without a shell, once per image.

    `{prompt}`, `{seed}`, `{width}`, `{height}`, `{file}` and `{input_image}` in its words are put
    in; `{file}` is where it has to write, `{input_image}` the file of the prompt's input image.
    `revision` is a label, to be changed with what the command does, so that images made before are
    not taken for the new ones.
    """

    KEY: ClassVar[str] = "command"
    PLACEHOLDERS: ClassVar[tuple[str, ...]] = (
        "prompt",
        "seed",
        "width",
        "height",
        "file",
        "input_image",
    )

    command: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    """The words of a command that writes one image to {file}."""
    revision: str | None = None
    """A label, to be changed with what the command does."""

    @property
    def takes_image(self) -> bool:
        return "input_image" in placeholders(self.command)

    def summary(self) -> str:
        return f"command {self.command[0]}, {self.width}x{self.height}"

    @field_validator("command")
    @classmethod
    def _asks_for_what_there_is(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        known, asked = [f"{{{name}}}" for name in cls.PLACEHOLDERS], placeholders(command)
        for name in sorted(asked - set(cls.PLACEHOLDERS)):
            raise ValueError(
                f"unknown placeholder {{{name}}}; allowed are {listed(known)}"
                f"{nearest(f'{{{name}}}', known)}"
            )
        for name in ("prompt", "file"):
            if name not in asked:
                raise ValueError(f"no word of it has {{{name}}}; put it where it belongs")
        return command


def placeholders(command: tuple[str, ...]) -> set[str]:
    """What the words of a command ask for, known or not; `{` before anything else is literal."""
    return set(PLACEHOLDER.findall(" ".join(command)))


KINDS: dict[str, type[ModelSpec]] = {
    kind.KEY: kind
    for kind in (DiffusionModel, CascadeModel, ImportedModel, FunctionModel, CommandModel)
}
