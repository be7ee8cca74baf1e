"""What may be chosen about an analysis; the choice is said in every summary."""

from dataclasses import asdict, dataclass
from typing import Any

from evalkit.analysis.intervals import INTERVALS, LEVEL
from evalkit.analysis.ratings import TIES
from evalkit.errors import EvalkitError, listed, nearest

_SHARE_RULES = {"half": "half", "drop": "drop", "model": "half"}  # a share has no model of ties


@dataclass(frozen=True)
class Options:
    """Ties, interval, slices, seed and level of an analysis.

    `ties` is half, drop or model; a win rate counts ties half under model, too. `interval` is that
    of win rates; `by` a column whose values are analysed apart as well, `seed` that of every
    random draw. EvalkitError on a value that is not known.
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

    @property
    def share_rule(self) -> str:
        """The rule for ties in win rates."""
        return _SHARE_RULES[self.ties]

    def as_json(self) -> dict[str, Any]:
        """The choices by name."""
        return asdict(self)
