"""What a lock keeps of a study, and the first thing in which two such contents differ."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

PROMPT_COLUMNS = ["prompt_id", "prompt", "category", "challenge", "input_sha256"]
IMAGE_COLUMNS = ["image_id", "prompt_id", "model", "seed", "sha256", "status"]

Content = dict[str, Any]

_SHOWN = 60  # characters of a value in a sentence
_BEFORE = 20  # of those, how many come before the first that differs
_ABSENT = "left out"


def frozen_rows(frame: pd.DataFrame, columns: list[str]) -> dict[str, dict[str, Any]]:
    """The rows by the first column, each with those of the others that the frame has."""
    names = [name for name in columns if name in frame.columns]
    rows = json.loads(frame[names].to_json(orient="records"))
    return {row.pop(names[0]): row for row in rows}


def rows_frame(rows: Mapping[str, Mapping[str, Any]], key: str) -> pd.DataFrame:
    """The frame that `frozen_rows` was made of; its rows in the order of their keys."""
    return pd.DataFrame([{key: name, **rows[name]} for name in sorted(rows)])


def study_change(then: Content, now: Content) -> str:
    """The first key of the study in which they differ, with both values; "" for none."""
    return _change(dict(_keys(then)), dict(_keys(now)))


def rows_change(then: Content, now: Content, noun: str) -> str:
    """The first row, and of it the first column, in which they differ; "" for none."""
    keys = sorted(then.keys() | now.keys())
    changed = [key for key in keys if then.get(key) != now.get(key)]
    if not changed:
        return ""
    first = changed[0]
    more = f" (and {len(changed) - 1:,} more)" if len(changed) > 1 else ""
    if first not in now:
        return f"{noun} {first}{_told(then[first])} is gone{more}"
    if first not in then:
        return f"{noun} {first}{_told(now[first])} is new{more}"
    return f"{noun} {first}{_told(then[first])}: {_change(then[first], now[first])}{more}"


def _told(row: Mapping[str, Any]) -> str:
    """Of an image, whose it is: its id says nothing to a person."""
    if "model" not in row:
        return ""
    return f" ({row['model']}, prompt {row['prompt_id']}, seed {row['seed']})"


def _change(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if not changed:
        return ""
    old, new = _values(then, now, changed[0])
    more = f" (and {len(changed) - 1:,} more)" if len(changed) > 1 else ""
    return f"{changed[0]} was {old} and is {new}{more}"


def _values(then: Mapping[str, Any], now: Mapping[str, Any], key: str) -> tuple[str, str]:
    """Both values as they stand in a sentence; of long texts the part around the difference."""
    old, new = (_said(content, key) for content in (then, now))
    same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
    start = max(0, same - _BEFORE) if max(len(old), len(new)) > _SHOWN else 0
    return _part(old, start), _part(new, start)


def _said(content: Mapping[str, Any], key: str) -> str:
    return json.dumps(content[key], ensure_ascii=False) if key in content else _ABSENT


def _part(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")


def _keys(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values; questions go by their id, other lists are one value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _keys(inner, f"{above}.{name}" if above else name)
    elif above == "questions" and isinstance(value, list) and all("id" in q for q in value):
        for question in value:
            rest = {name: inner for name, inner in question.items() if name != "id"}
            yield from _keys(rest, f"questions.{question['id']}")
    else:
        yield above, value
