"""study.toml -> Study: read, validated, frozen, hashed."""

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
from pydantic import Field, ValidationError

from evalkit.errors import StudyError, listed, nearest
from evalkit.models import ModelSpec, resolve
from evalkit.study_sections import (
    Design,
    Entry,
    Exclusions,
    ImageSettings,
    Previous,
    PromptSource,
    Question,
    Section,
    SessionSettings,
    Stopping,
)
from evalkit.texts import read_own_texts
from evalkit.validation import first_mistake

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _StudyFile(Section):
    name: str
    seed: int = Field(ge=0, lt=2**63)
    prompts: PromptSource
    images: ImageSettings
    models: dict[str, dict[str, Any]] = Field(min_length=2)
    questions: tuple[Question, ...] = Field(min_length=1)
    design: Design = Design()
    session: SessionSettings = SessionSettings()
    exclusions: Exclusions = Exclusions()
    stopping: Stopping = Stopping()
    entry: Entry = Entry()
    previous: Previous | None = None
    store: str = "votes.sqlite"


class Study(Section):
    """Prompts x models x questions x design, fixed before the votes."""

    name: str
    seed: int
    prompts: PromptSource
    images: ImageSettings
    models: tuple[ModelSpec, ...]
    questions: tuple[Question, ...]
    design: Design
    session: SessionSettings
    own_texts: dict[str, Any] = Field(default_factory=dict)
    exclusions: Exclusions = Exclusions()
    stopping: Stopping = Stopping()
    entry: Entry = Entry()
    previous: Previous | None = None
    store: str

    @property
    def fixed_content(self) -> dict[str, Any]:
        """What the study file says and the models' settings, ready for JSON: fixed by the votes.

        Values at their default and what is only said about a model are left out, so that a key
        that comes to be later leaves the hashes of older studies as they are. Where images and
        votes lie and who may take part can change while a study goes on.
        """
        left_out = {"models": True, "images": {"address"}, "entry": True, "store": True}
        content = self.model_dump(mode="json", exclude_defaults=True, exclude=left_out)
        return content | {"models": {model.name: model.settings() for model in self.models}}

    @property
    def sha256(self) -> str:
        """Hash of the fixed content."""
        return content_sha256(self.fixed_content)

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


def content_sha256(content: dict[str, Any]) -> str:
    """Hash of a study's fixed content; of what was read back from JSON the same."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
    _check_exclusions(file, path)
    own_texts = read_own_texts(file.session.language, file.session.texts, path)
    return Study(**{**dict(file), "models": models, "own_texts": own_texts})


def _tuples(value: Any) -> Any:
    """With tuples for the lists: strictly, pydantic takes no list for a tuple."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def require_name(name: str, where: str) -> None:
    """StudyError where a study or a model cannot be called so."""
    if not _NAME.fullmatch(name):
        raise StudyError(
            f'{where}: "{name}"; a name has letters, digits, ".", "_" and "-" only and '
            "at most 64 of them; rename it"
        )


def _check_names(file: _StudyFile, path: Path) -> None:
    for place, name in [("name", file.name), *(("models", name) for name in file.models)]:
        require_name(name, f"{path}: {place}")
    ids = [question.id for question in file.questions]
    for question_id in ids:
        if ids.count(question_id) > 1:
            raise StudyError(
                f'{path}: questions: the id "{question_id}" stands twice; give each its own'
            )
    _check_store(file.store, path)


def _check_store(store: str, path: Path) -> None:
    if store.startswith("postgresql://"):
        if not _names_a_database(store):  # not repeated: a password may stand in it
            raise StudyError(
                f"{path}: store: the address names no database on a server; write "
                "postgresql://user@host/database, or with a local socket "
                "postgresql:///database?host=/var/run/postgresql"
            )
    elif Path(store).name != store or not store.endswith(".sqlite") or "\0" in store:
        raise StudyError(
            f"{path}: store = {json.dumps(store)}; allowed is the name of a file in the study "
            "folder that ends in .sqlite, or an address such as postgresql://user@host/database; "
            'write store = "votes.sqlite"'
        )


def _names_a_database(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool((parts.hostname or "host" in parse_qs(parts.query)) and parts.path.strip("/"))
    except ValueError:
        return False


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


def _check_exclusions(file: _StudyFile, path: Path) -> None:
    """A rule that could exclude nobody is a mistake: it would seem to guard the study."""
    rules, design = file.exclusions, file.design
    each, rest = divmod(design.trials_per_annotator, len(file.questions))
    parts = [each + (place < rest) for place in range(len(file.questions))]
    checks = sum(design.attention_trials(length) for length in parts)
    repeats = sum(design.repeat_trials(length) for length in parts)
    votes = design.trials_per_annotator
    for rule, least, most, nouns, raised in (
        ("attention_below", "min_checks", checks, "attention checks", "attention_share"),
        ("repeat_consistency_below", "min_repeats", repeats, "repeats", "repeat_share"),
        ("median_ms_below", "min_votes", votes, "votes", "trials_per_annotator"),
        ("same_side_above", "min_votes", votes, "votes", "trials_per_annotator"),
    ):
        needed = getattr(rules, least)
        if getattr(rules, rule) is not None and needed > most:
            raise StudyError(
                f"{path}: exclusions.{rule}: counts from {least} = {needed} {nouns} on, and an "
                f"annotator has at most {most}; raise design.{raised}, or lower exclusions.{least}"
            )
    if rules.longest_run_above is not None and rules.longest_run_above >= votes:
        raise StudyError(
            f"{path}: exclusions.longest_run_above = {rules.longest_run_above}: an annotator has "
            f"at most {votes} votes, so no run is longer; lower it, or leave it out"
        )
