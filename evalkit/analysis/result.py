"""Result: an estimate never travels alone."""

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

from evalkit.errors import EstimateError

LEVEL = 0.95  # of intervals, where no other is asked for


def require_level(level: float) -> None:
    """EstimateError unless the level lies within (0, 1)."""
    if not 0 < level < 1:
        raise EstimateError(f"level: found {level}; allowed is a number between 0 and 1")


@dataclass(frozen=True)
class Result:
    """An estimate with its interval, and all that says how much it may be trusted.

    The bounds are NaN where there is no interval; `method` says how the number was made, and then
    also why one is missing. `n` counts votes, `n_prompts` and `n_annotators` the clusters they came
    in, `n_effective` the independent votes that they are worth. `p_value` is NaN where nothing was
    tested. `seed` is None where no random number was drawn. `converged` is false only where a fit
    did not come to its end; the estimate is NaN then.
    """

    estimate: float
    ci_low: float
    ci_high: float
    n: int
    method: str
    p_value: float = float("nan")
    n_prompts: int = 0
    n_annotators: int = 0
    n_effective: float = float("nan")
    seed: int | None = None
    converged: bool = True

    @property
    def has_interval(self) -> bool:
        """Whether the interval could be estimated; if not, `method` says why."""
        return not isnan(self.ci_low)

    def row(self) -> dict[str, Any]:
        """The fields by name, as one row of a data frame."""
        return asdict(self)
