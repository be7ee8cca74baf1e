"""What a writer of an export says that it wrote."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Written:
    """Rows by the name of the file, and how many votes or pairs are in none, by reason."""

    rows: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)
