"""study.toml -> Study: read, validated, frozen, hashed."""

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from evalkit.errors import StudyError, listed, nearest
from evalkit.models import ModelSpec, resolve
from evalkit.validation import first_mistake

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.")

CONSENT = (
    "You will compare pairs of computer-made images. We store your choices, how long they took and "
    "the size of your window, under a random id and not under your name. You may stop at any time."
)
INSTRUCTIONS = (
    "You see two images side by side and one question. Look at both, then choose with the keys or "
    "the buttons. There is no right answer: we want your own judgement."
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptSource(_Part):
    """Where the prompts come from, which of its rows count, and how many are drawn how.

    `column` and its like name columns of the source that are called otherwise than ours; `config`,
    `split` and `revision` are of a data set on the hub. `over_long` is about prompts that no text
    encoder of some model reads whole.
    """

    source: str
    column: str | None = None
    id_column: str | None = None
    category_column: str | None = None
    challenge_column: str | None = None
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    blanks: Literal["refuse", "drop"] = "refuse"
    duplicates: Literal["refuse", "drop"] = "refuse"
    over_long: Literal["keep", "refuse", "drop"] = "keep"
    n: int | None = Field(default=None, ge=1)
    draw: Literal["first", "random", "stratified"] = "first"
    stratify: Literal["category", "challenge", "both"] = "category"

    @field_validator("stratify")
    @classmethod
    def _of_a_stratified_draw(cls, stratify: str, info: ValidationInfo) -> str:
        if info.data.get("draw") in ("first", "random"):
            raise ValueError(f'draw = "{info.data["draw"]}" has no strata; write "stratified"')
        return stratify


class ImageSettings(_Part):
    """Image seeds, shared by all models, and the side (px) of the square each image is shown in.

    `address` is where the images lie, such as `s3://bucket/folder`; without it, the study folder.
    It does not count in the study's hash: images that are moved are the same images.
    """

    # Larger seeds are not exact as the floating-point numbers that programs read from a table.
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**53)], ...] = Field(min_length=1)
    viewing_size: int = Field(default=512, ge=64, le=2048)
    address: str | None = None

    @field_validator("address")
    @classmethod
    def _names_a_store(cls, address: str | None) -> str | None:
        if address is not None and not _ADDRESS.match(address):
            raise ValueError(
                "allowed are addresses such as s3://bucket/folder; without one the images lie in "
                "the study folder"
            )
        return address

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice")
        return seeds


class Question(_Part):
    """One question asked of each pair; `show_prompt` shows the prompt above the images."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    text: str = Field(min_length=1)
    show_prompt: bool
    tie: bool = True
    both_bad: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The choices an annotator has on this question."""
        extra = [("tie", self.tie), ("both_bad", self.both_bad)]
        return ("left", "right", *(name for name, offered in extra if offered))


class Design(_Part):
    """Which pairs are shown, how often, and how many trials are checks or repeats.

    `attention_share` and `repeat_share` are shares of an annotator's trials.
    """

    pairs: Literal["all"] | tuple[tuple[str, str], ...] = "all"
    votes_per_pair: int = Field(default=4, ge=1, le=1000)
    trials_per_annotator: int = Field(default=100, ge=1, le=10_000)
    attention_share: float = Field(default=0.05, ge=0, le=0.5)
    repeat_share: float = Field(default=0.05, ge=0, le=0.5)
    min_viewing_ms: int = Field(default=500, ge=0, le=60_000)

    @field_validator("pairs", mode="wrap")
    @classmethod
    def _pairs(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(value)
        except ValidationError:
            raise ValueError(
                'allowed are "all" or a list of lists of two model names, [["one", "other"]]'
            ) from None

    def attention_trials(self, n: int) -> int:
        """How many of `n` trials are attention checks; a half is rounded up."""
        return int(self.attention_share * n + 0.5)

    def repeat_trials(self, n: int) -> int:
        """How many of `n` trials are repeats; a half is rounded up."""
        return int(self.repeat_share * n + 0.5)


class SessionTexts(_Part):
    """What an annotator reads before the first trial."""

    consent: str = Field(default=CONSENT, min_length=1)
    instructions: str = Field(default=INSTRUCTIONS, min_length=1)


class _StudyFile(_Part):
    name: str
    seed: int = Field(ge=0, lt=2**63)
    prompts: PromptSource
    images: ImageSettings
    models: dict[str, dict[str, Any]] = Field(min_length=2)
    questions: tuple[Question, ...] = Field(min_length=1)
    design: Design = Design()
    session: SessionTexts = SessionTexts()
    store: str = "votes.sqlite"


class Study(_Part):
    """Prompts x models x questions x design, fixed before the votes."""

    name: str
    seed: int
    prompts: PromptSource
    images: ImageSettings
    models: tuple[ModelSpec, ...]
    questions: tuple[Question, ...]
    design: Design
    session: SessionTexts
    store: str

    @property
    def sha256(self) -> str:
        """Hash of what the study file says and of the models' settings.

        Values at their default and what is only said about a model are left out, so that a key
        that comes to be later leaves the hashes of older studies as they are.
        """
        left_out = {"models": True, "images": {"address"}}
        content = self.model_dump(mode="json", exclude_defaults=True, exclude=left_out)
        content["models"] = {model.name: model.settings() for model in self.models}
        canonical = json.dumps(content, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def model_names(self) -> list[str]:
        """Names of the models, in the order of the file."""
        return [model.name for model in self.models]

    def question(self, question_id: str) -> Question:
        """The question of this id; KeyError where there is none."""
        return {question.id: question for question in self.questions}[question_id]

    def wanted_images(self, prompts: pd.DataFrame) -> pd.DataFrame:
        """A row per model, prompt (`tables.PROMPTS`) and seed, in that order: the whole study.

        Columns image_id, prompt_id, prompt, input_image, model, seed.
        """
        inputs = prompts.reindex(columns=["input_image", "input_sha256"], fill_value="")
        texts = prompts[["prompt_id", "prompt"]]
        rows = [
            (model.image_id(text, seed, sha256), prompt_id, text, file, model.name, seed)
            for model in self.models
            for prompt_id, text, file, sha256 in zip(
                texts["prompt_id"],
                texts["prompt"],
                inputs["input_image"],
                inputs["input_sha256"],
                strict=True,
            )
            for seed in self.images.seeds
        ]
        columns = ["image_id", "prompt_id", "prompt", "input_image", "model", "seed"]
        return pd.DataFrame(rows, columns=columns)


def read_study(path: Path) -> Study:
    """The study in a study.toml; StudyError, one sentence, on the first mistake in it."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise StudyError(
            f"{path}: no such file; make a study with: evalkit init {path.parent}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read as UTF-8 text ({error}); save it so") from None
    return parse_study(text, path)


def parse_study(text: str, path: Path) -> Study:
    """The study that the text of a study.toml says; `path` names the file in errors."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path}: not valid TOML ({error}); correct it there") from None
    content |= {key: _tuples(value) for key, value in content.items() if key != "models"}
    try:
        file = _StudyFile.model_validate(content, strict=True)
    except ValidationError as error:
        raise StudyError(first_mistake(error, str(path), _StudyFile)) from None
    _check_names(file, path)
    models = tuple(
        resolve(name, table, f"{path}: models.{name}") for name, table in file.models.items()
    )
    _check_pairs(file, path)
    _check_trials(file, path)
    return Study(**{**dict(file), "models": models})


def _tuples(value: Any) -> Any:
    """With tuples for the lists: strictly, pydantic takes no list for a tuple."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _check_names(file: _StudyFile, path: Path) -> None:
    for place, name in [("name", file.name), *(("models", name) for name in file.models)]:
        if not _NAME.fullmatch(name):
            raise StudyError(
                f'{path}: {place}: "{name}"; a name has letters, digits, ".", "_" and "-" only and '
                "at most 64 of them; rename it"
            )
    ids = [question.id for question in file.questions]
    for question_id in ids:
        if ids.count(question_id) > 1:
            raise StudyError(
                f'{path}: questions: the id "{question_id}" stands twice; give each its own'
            )
    if Path(file.store).name != file.store or not file.store.endswith(".sqlite"):
        raise StudyError(
            f'{path}: store = "{file.store}"; allowed is the name of a file in the study folder '
            'that ends in .sqlite; write store = "votes.sqlite"'
        )


def _check_pairs(file: _StudyFile, path: Path) -> None:
    if file.design.pairs == "all":
        return
    if not file.design.pairs:
        raise StudyError(
            f'{path}: design.pairs is empty; write pairs = "all" or at least one pair of models'
        )
    seen = set()
    for pair in file.design.pairs:
        for name in pair:
            if name not in file.models:
                raise StudyError(
                    f'{path}: design.pairs: unknown model "{name}"; the study has '
                    f"{listed(file.models)}{nearest(name, file.models)}"
                )
        if pair[0] == pair[1]:
            raise StudyError(
                f'{path}: design.pairs: "{pair[0]}" is paired with itself; name two models'
            )
        if frozenset(pair) in seen:
            raise StudyError(f"{path}: design.pairs: {listed(pair)} stands twice; remove one")
        seen.add(frozenset(pair))


def _check_trials(file: _StudyFile, path: Path) -> None:
    each = file.design.trials_per_annotator // len(file.questions)
    if each <= file.design.attention_trials(each):
        raise StudyError(
            f"{path}: design.trials_per_annotator = {file.design.trials_per_annotator} leaves no "
            f"trial for a pair in each of {len(file.questions)} questions (attention_share = "
            f"{file.design.attention_share:g}); raise it to {2 * len(file.questions)} or more"
        )
