"""Result: an estimate never travels alone."""

from dataclasses import dataclass
from math import isnan


@dataclass(frozen=True)
class Result:
    """An estimate with its interval (NaN where it does not exist), n, and how it was made."""

    estimate: float
    ci_low: float
    ci_high: float
    n: int
    method: str
    p_value: float = float("nan")

    @property
    def has_interval(self) -> bool:
        """Whether the interval could be estimated; if not, `method` says why."""
        return not isnan(self.ci_low)
