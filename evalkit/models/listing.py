"""The catalogue as text: all entries in a table, or one entry with what a study may change."""

import json
import textwrap
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from evalkit.errors import ModelError, nearest
from evalkit.models.catalogue import CATALOGUE, resolve
from evalkit.models.kinds import KINDS, Stage

_WIDTH = 100  # columns
_COLUMNS = ("name", "how", "size", "steps", "guidance", "licence")
_SAID = ("licence", "source", "note")
_GIVEN: dict[str, Any] = {  # what a study may give to an entry without weights, as an example
    "images": "their-images",
    "callable": "their_package.module:function",
    "command": ["their-command", "{prompt}", "{seed}", "{file}"],
}


def list_models() -> str:
    """A line per entry of the catalogue, in aligned columns, and how to see one whole."""
    rows = [_COLUMNS, *(_row(name, entry) for name, entry in CATALOGUE.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(
        [*lines, "", "One of them whole, and what a study may change: evalkit models NAME"]
    )


def describe_model(name: str) -> str:
    """One entry whole: what is said of it, each setting with what it may be, and an example.

    The settings are TOML, as a study file may have them. Raises ModelError where the catalogue has
    no such entry.
    """
    if name not in CATALOGUE:
        raise ModelError(
            f'models: unknown model "{name}"; evalkit models lists those that there are'
            f"{nearest(name, CATALOGUE)}"
        )
    entry = CATALOGUE[name]
    said = [_wrapped(f"{key}: {entry[key]}", "    ") for key in _SAID if key in entry]
    describe = _settings if KINDS.keys() & entry.keys() else _given
    blocks = [f"{name}: {_how(entry)}", "\n".join(said), *describe(name, entry)]
    return "\n\n".join([*blocks, "In study.toml:", _indented(_example(name, entry))])


def _row(name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    stages = entry.get("stages", [entry])
    steps = ", ".join(str(stage["steps"]) for stage in stages if "steps" in stage)
    guidance = ", ".join(f"{stage['guidance']:g}" for stage in stages if "guidance" in stage)
    size = f"{entry['width']}x{entry['height']}"
    return name, _how(entry), size, steps or "-", guidance or "-", entry["licence"]


def _how(entry: dict[str, Any]) -> str:
    """How its images are made, in a word or two."""
    if "stages" in entry:
        return f"{len(entry['stages'])} stages"
    if "repository" not in entry:
        return "images to give"
    if "strength" in entry:
        return "image to image"
    if entry["repository"].startswith("built-in:"):
        return "built in"
    parts = [part for part in ("UNet", "LoRA") if f"{part.lower()}_repository" in entry]
    return " and ".join(parts) or "checkpoint"


def _settings(name: str, entry: dict[str, Any]) -> list[str]:
    """The settings of an entry, those first that it gives; stages last, as TOML has it."""
    spec = resolve(name, {}, name)
    fields = {key: type(spec).model_fields[key] for key in spec.changeable()}
    keys = sorted(fields, key=lambda key: (key == "stages", key not in entry))
    lines = [_setting(key, getattr(spec, key), fields[key]) for key in keys if key != "stages"]
    explained = Stage.model_fields.copy()
    for stage in entry.get("stages", []):
        lines.append(f"[[models.{name}.stages]]")
        for key, value in stage.items():
            if key in explained:  # once, where it first stands
                field = explained.pop(key)
                lines.append(f"# {_said(field)}{_limits(field)}")
            lines.append(_assignment(key, value))
    return ["Its settings, each of which a study file may change:", _indented("\n".join(lines))]


def _given(name: str, entry: dict[str, Any]) -> list[str]:
    """What a study file may give, for each of the ways to make the images."""
    blocks = []
    for told, example in _GIVEN.items():
        fields = KINDS[told].model_fields
        values = {key: fields[key].get_default(call_default_factory=True) for key in fields}
        values |= {**entry, told: example}
        keys = KINDS[told].changeable()
        lines = [_setting(key, values[key], fields[key]) for key in keys]
        blocks += [f"A study file gives {told}, and may change the others:"]
        blocks += [_indented("\n".join(lines))]
    return blocks


def _setting(key: str, value: Any, field: FieldInfo) -> str:
    said = "; ".join(filter(None, [_said(field), _allowed(field.annotation, field)]))
    return "\n".join([_wrapped(f"# {said}", "# ", _WIDTH - 2), _assignment(key, value)])


def _said(field: FieldInfo) -> str:
    return (field.description or "").removesuffix(".")


def _allowed(annotation: Any, field: FieldInfo) -> str:
    """The values of a type in words: `a whole number, 1 to 1000`; of any text none are needed."""
    inner = [kind for kind in get_args(annotation) if kind is not type(None)]
    if type(None) in get_args(annotation):
        return "; ".join(filter(None, [_allowed(inner[0], field), '"" is none']))
    if hasattr(annotation, "__metadata__"):
        return _allowed(inner[0], field)
    if get_origin(annotation) is Literal:
        return " or ".join(inner)
    if get_origin(annotation) is tuple:
        return "whole numbers" if inner[0] is int else ""
    words = {bool: "true or false", int: "a whole number", float: "a number", dict: "a table"}
    return words.get(get_origin(annotation) or annotation, "") + _limits(field)


def _limits(field: FieldInfo) -> str:
    limits = {type(limit).__name__: limit for limit in field.metadata}
    said = ""
    if "Ge" in limits:
        said += f", {limits['Ge'].ge:g} to {limits['Le'].le:g}"
    if "Gt" in limits:
        said += f", above {limits['Gt'].gt:g}, to {limits['Le'].le:g}"
    if "MultipleOf" in limits:
        said += f", a multiple of {limits['MultipleOf'].multiple_of:g}"
    return said


def _example(name: str, entry: dict[str, Any]) -> str:
    if not KINDS.keys() & entry.keys():
        return f"[models.{name}]\n{_assignment('images', _GIVEN['images'])}"
    changes = [key for key in ("steps", "guidance", "precision") if key in entry]
    lines = [_assignment(key, entry[key]) for key in changes]
    head = [f"[models.mine] # the name in tables and figures; [models.{name}] needs no catalogue"]
    return "\n".join([*head, _assignment("catalogue", name), *lines])


def _assignment(key: str, value: Any) -> str:
    return f"{key} = {toml(value)}"


def toml(value: Any) -> str:
    """A value as a study file has it; none is an empty text."""
    if value is None:
        return '""'
    if isinstance(value, dict):
        inside = ", ".join(_assignment(*item) for item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _wrapped(text: str, indent: str, width: int = _WIDTH) -> str:
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)


def _indented(text: str) -> str:
    return textwrap.indent(text, "  ")
