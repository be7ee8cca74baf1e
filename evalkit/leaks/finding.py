"""A Finding: what one check of the leak check saw, in a sentence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`found` says what was seen; `where` and `remedy` are empty where all is well.

    A warning is no leak: it passed, and the coordinator should know it all the same.
    """

    name: str
    passed: bool
    found: str
    where: str = ""
    remedy: str = ""
    warning: bool = False

    @property
    def line(self) -> str:
        """`ok name: found`, `warn name: found; remedy` or `LEAK name: found (where); remedy`."""
        if self.warning:
            return f"warn  {self.name}: {self.found}; {self.remedy}"
        if self.passed:
            return f"ok    {self.name}: {self.found}"
        place = f" ({self.where})" if self.where else ""
        return f"LEAK  {self.name}: {self.found}{place}; {self.remedy}"


def some(names: list[str]) -> str:
    """Up to three of the names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
