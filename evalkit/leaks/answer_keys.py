"""What the app's JSON may say: every key that may reach the page is named here, and no other."""

from collections.abc import Iterator
from typing import Any

from evalkit.tables import TRIAL_KINDS

_FREE: dict[str, Any] = {}  # no keys below
_TRIAL = dict.fromkeys(
    ("trial_id", "question_id", "question", "choices", "part", "parts", "block", "blocks",
     "practice", "prompt"),
    _FREE,
)  # fmt: skip
_PROGRESS = dict.fromkeys(
    ("part", "parts", "block", "blocks", "done", "total", "block_done", "block_total"), _FREE
)
_ACTIONS = ("left", "right", "tie", "both_bad", "undo", "zoom", "flip", "reason")
_SETTINGS = {
    **dict.fromkeys(("viewing_size", "min_viewing_ms", "break_minutes", "reasons"), _FREE),
    "keys": dict.fromkeys(_ACTIONS, _FREE),
    "outbox": _FREE,
}
_EXAMPLE = dict.fromkeys(("question_id", "question", "expected", "foil"), _FREE)
ANSWER: dict[str, Any] = {
    "stage": _FREE,
    "session_id": _FREE,
    "settings": _SETTINGS,
    "consent": dict.fromkeys(("text", "version"), _FREE),
    "instructions": {"text": _FREE, "examples": _EXAMPLE},
    "trials": _TRIAL,
    "progress": _PROGRESS,
    "vote": dict.fromkeys(("trial_id", "choice", "revision"), _FREE),
    "feedback": dict.fromkeys(("right", "expected", "foil"), _FREE),
    "completion": dict.fromkeys(("code", "return_url"), _FREE),
    "deleted": _FREE,
    "error": _FREE,
}
_KINDS = frozenset(TRIAL_KINDS) - {"practice"}


def unknown_keys(answer: Any, allowed: dict[str, Any] = ANSWER, where: str = "") -> Iterator[str]:
    """The paths of the keys that no answer of the app has."""
    if isinstance(answer, list):
        for item in answer:
            yield from unknown_keys(item, allowed, where)
    elif isinstance(answer, dict):
        for key, value in answer.items():
            path = f"{where}.{key}" if where else key
            if key not in allowed:
                yield path
            else:
                yield from unknown_keys(value, allowed[key], path)


def kinds_in(answer: Any) -> Iterator[str]:
    """The kinds of trials that stand somewhere in the answer as a value of their own."""
    if isinstance(answer, list):
        for item in answer:
            yield from kinds_in(item)
    elif isinstance(answer, dict):
        for value in answer.values():
            yield from kinds_in(value)
    elif answer in _KINDS:
        yield answer
