"""What may be chosen about an analysis; the choice is said in every summary."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from evalkit import tables
from evalkit.analysis.intervals import INTERVALS, LEVEL
from evalkit.analysis.ratings import TIES
from evalkit.errors import EvalkitError, listed, nearest

_SHARE_RULES = {"half": "half", "drop": "drop", "model": "half"}  # a share has no model of ties
OF_PROMPTS = ("category", "challenge")  # what a vote's own columns tell of its prompt
_OF_A_VOTE = {
    column.name for table in (tables.COMPARISONS, tables.IMPORTED_VOTES) for column in table.columns
} - {*OF_PROMPTS}
_COLUMN = re.compile(r"[\w.-]{1,50}")  # it becomes part of a file's name


@dataclass(frozen=True)
class Options:
    """Ties, interval, slices, seed and level of an analysis.

    `ties` is half, drop or model; a win rate counts ties half under model, too. `interval` is that
    of win rates and sides; `by` a column whose values are analysed apart as well, `seed` that of
    every random draw. EvalkitError on a value that is not known, and on a `by` that is a vote's own
    column (its winner, say) or cannot be part of a file's name.
    """

    ties: str = "half"
    interval: str = "two-way"
    by: str | None = None
    seed: int = 0
    level: float = LEVEL

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("ties", self.ties, TIES),
            ("interval", self.interval, INTERVALS),
        ):
            if value not in allowed:
                raise EvalkitError(
                    f'--{name}: "{value}"; allowed is one of {listed(allowed)}'
                    f"{nearest(value, allowed)}; choose one"
                )
        if self.by is not None:
            _require_slices(self.by)

    @property
    def share_rule(self) -> str:
        """The rule for ties in win rates."""
        return _SHARE_RULES[self.ties]

    def as_json(self) -> dict[str, Any]:
        """The choices by name."""
        return asdict(self)


def _require_slices(by: str) -> None:
    """EvalkitError where the values of the column are no slices, or its name names no file."""
    if by in _OF_A_VOTE:
        raise EvalkitError(
            f"--by: {by} is part of a vote itself, and its values are no slices; allowed are "
            f"{listed(OF_PROMPTS)} and any further column of a vote file; choose one"
        )
    if not _COLUMN.fullmatch(by):
        raise EvalkitError(
            f"--by: {by!r} becomes part of a file's name; allowed are up to 50 letters, digits, "
            'and "_", "." or "-"; rename the column'
        )
