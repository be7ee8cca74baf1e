"""A Finding: what one check of the leak check saw, in a sentence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`found` says what was seen; `where` and `remedy` are empty where the check passed."""

    name: str
    passed: bool
    found: str
    where: str = ""
    remedy: str = ""

    @property
    def line(self) -> str:
        """`ok name: found`, or `LEAK name: found (where); remedy`."""
        if self.passed:
            return f"ok    {self.name}: {self.found}"
        place = f" ({self.where})" if self.where else ""
        return f"LEAK  {self.name}: {self.found}{place}; {self.remedy}"


def some(names: list[str]) -> str:
    """Up to three of the names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
