"""Errors that are the user's to mend: each one sentence, shown without a traceback, exit code 2."""

import difflib
from collections.abc import Iterable


class EvalkitError(Exception):
    """A mistake in what was given: *where: what was found; what is allowed; what to do*."""


class StudyError(EvalkitError):
    """A study file or study folder that cannot be used as it stands."""


class TableError(EvalkitError):
    """A table with a missing column, an empty cell or a value that is not allowed."""


class ModelError(EvalkitError):
    """A model that is unknown, cannot be loaded or cannot make what was asked of it."""


class StoreError(EvalkitError):
    """A vote database that is missing, of another study, or that refuses what was asked."""


class EstimateError(EvalkitError):
    """An estimate that does not exist for these votes (for example, models never compared)."""


def nearest(found: str, allowed: Iterable[str]) -> str:
    """`'; did you mean "x"?'` for the closest allowed spelling, or an empty string."""
    close = difflib.get_close_matches(found, list(allowed), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def listed(names: Iterable[str]) -> str:
    """Names as they stand in a sentence: `a, b, c`, or `(none)`."""
    return ", ".join(names) or "(none)"


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says, at most 200 characters of it.

    A line that only announces the next (it ends with a colon) is joined with it.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
