"""The catalogue of known models, and how a study's model table becomes a ModelSpec."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evalkit.errors import StudyError, listed, nearest
from evalkit.models.kinds import KINDS
from evalkit.models.spec import ModelSpec
from evalkit.validation import first_mistake

_FOLDER = Path(__file__).parent

CATALOGUE: dict[str, dict[str, Any]] = tomllib.loads(
    (_FOLDER / "catalogue.toml").read_text("utf-8")
)

_PARTS = {  # the settings of a part count only where the part is named
    "unet_repository": ("unet_subfolder", "unet_revision", "unet_variant", "unet_file"),
    "lora_repository": ("lora_revision", "lora_file"),
    "vae_repository": ("vae_revision",),
}
_REVISIONS = {  # a revision is one of its repository and of no other
    "repository": "revision",
    "unet_repository": "unet_revision",
    "lora_repository": "lora_revision",
    "vae_repository": "vae_revision",
}


def resolve(name: str, table: dict[str, Any], where: str) -> ModelSpec:
    """The ModelSpec of one `[models.NAME]` table: its catalogue entry with the table's changes.

    A table without an entry says everything itself; a key such as `images` tells its kind (see
    `KINDS`). A repository that the table replaces loses the entry's revision with it. Raises
    StudyError on an unknown entry, an unknown key, a value that is not allowed, or a setting of a
    part that the model does not have.
    """
    entry_name, entry = _entry(name, table, where)
    changes = {key: value for key, value in table.items() if key != "catalogue"}
    entry = _without_old_revisions(entry, changes)
    kind = _kind({**entry, **changes}, where)
    for key in changes:
        if key not in kind.changeable():
            allowed = ("catalogue", *kind.changeable())
            raise StudyError(
                f'{where}: unknown key "{key}"; allowed are {listed(allowed)}'
                f"{nearest(key, allowed)}"
            )
    try:
        spec = kind(**{"name": name, "catalogue": entry_name, **entry, **changes})
    except ValidationError as error:
        raise StudyError(first_mistake(error, where, kind)) from None
    _refuse_orphans(spec, where)
    return spec


def _entry(name: str, table: dict[str, Any], where: str) -> tuple[str | None, dict[str, Any]]:
    """The catalogue entry that a table names, or its own name names; none where it tells a kind."""
    if "catalogue" not in table and name not in CATALOGUE and KINDS.keys() & table.keys():
        return None, {}
    entry_name = table.get("catalogue", name)
    if not isinstance(entry_name, str) or entry_name not in CATALOGUE:
        raise StudyError(
            f'{where}: unknown model "{entry_name}"; the catalogue has {listed(CATALOGUE)}'
            f"{nearest(str(entry_name), CATALOGUE)}"
        )
    return entry_name, CATALOGUE[entry_name]


def _without_old_revisions(entry: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The entry without the revisions of repositories that the changes replace by others."""
    replaced = [key for key in _REVISIONS if key in changes and changes[key] != entry.get(key)]
    gone = {_REVISIONS[key] for key in replaced}
    return {key: value for key, value in entry.items() if key not in gone}


def _kind(table: dict[str, Any], where: str) -> type[ModelSpec]:
    """The kind that the keys of a merged table tell."""
    told = [key for key in KINDS if key in table]
    if len(told) == 1:
        return KINDS[told[0]]
    if told:
        raise StudyError(
            f"{where}: {listed(told)} stand together; one of them says how its images are made; "
            "take the others out"
        )
    note = f" ({table['note'].rstrip('.')})" if "note" in table else ""
    raise StudyError(
        f"{where}: nothing says how its images are made{note}; give one of {listed(KINDS)}"
    )


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
