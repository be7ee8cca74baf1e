"""The catalogue of known models, and how a study's model table becomes a ModelSpec."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evalkit.errors import StudyError, listed, nearest
from evalkit.models.spec import ModelSpec
from evalkit.validation import first_mistake

_FOLDER = Path(__file__).parent

CATALOGUE: dict[str, dict[str, Any]] = tomllib.loads(
    (_FOLDER / "catalogue.toml").read_text("utf-8")
)

CHANGEABLE = (
    "repository",
    "revision",
    "variant",
    "unet_repository",
    "unet_subfolder",
    "unet_revision",
    "unet_variant",
    "lora_repository",
    "lora_revision",
    "lora_file",
    "scheduler",
    "scheduler_settings",
    "steps",
    "guidance",
    "negative_prompt",
    "width",
    "height",
    "precision",
    "vae_precision",
)

_PARTS = {  # the settings of a part count only where the part is named
    "unet_repository": ("unet_subfolder", "unet_revision", "unet_variant"),
    "lora_repository": ("lora_revision", "lora_file"),
}


def resolve(name: str, table: dict[str, Any], where: str) -> ModelSpec:
    """The ModelSpec of one `[models.NAME]` table: its catalogue entry with the table's changes.

    Raises StudyError on an unknown entry, an unknown key, a value that is not allowed, or a
    setting of a part that the model does not have.
    """
    entry_name = table.get("catalogue", name)
    if not isinstance(entry_name, str) or entry_name not in CATALOGUE:
        raise StudyError(
            f'{where}: unknown model "{entry_name}"; the catalogue has {listed(CATALOGUE)}'
            f"{nearest(str(entry_name), CATALOGUE)}"
        )
    changes = {key: value for key, value in table.items() if key != "catalogue"}
    for key in changes:
        if key not in CHANGEABLE:
            allowed = ("catalogue", *CHANGEABLE)
            raise StudyError(
                f'{where}: unknown key "{key}"; allowed are {listed(allowed)}'
                f"{nearest(key, allowed)}"
            )
    try:
        spec = ModelSpec(
            **{"name": name, "catalogue": entry_name, **CATALOGUE[entry_name], **changes}
        )
    except ValidationError as error:
        raise StudyError(first_mistake(error, where)) from None
    _refuse_orphans(spec, where)
    return spec


def checkpoint_path(repository: str) -> str:
    """Where the loader finds a repository: `built-in:NAME` is a folder of this package.

    Anything else (a local folder or a hub name) is handed on as it stands.
    """
    if repository.startswith("built-in:"):
        return str(_FOLDER / "scenes" / "weights" / repository.removeprefix("built-in:"))
    return repository


def _refuse_orphans(spec: ModelSpec, where: str) -> None:
    said = spec.model_dump(exclude_defaults=True)
    for part, keys in _PARTS.items():
        for key in keys:
            if said.get(key) and part not in said:
                raise StudyError(
                    f'{where}: {key} = "{said[key]}" without {part} changes nothing; give {part}, '
                    f'or take {key} back with {key} = ""'
                )
