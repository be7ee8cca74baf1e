"""What is printed: aligned and coloured on a terminal, the same text plain in a pipe.

Colours follow NO_COLOR, by Rich.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

HEAD = "dim"  # the style of a table's head
ALARM = "bold red"


def console() -> Console:
    """Standard output as it is now: a terminal or a pipe."""
    return Console(highlight=False)


def show(content: RenderableType) -> None:
    """Print a table, or other things of Rich."""
    console().print(content)


def table(left: Sequence[str], right: Sequence[str] = ()) -> Table:
    """An empty table: columns of words to the left, of numbers to the right."""
    made = Table(box=None, pad_edge=False, header_style=HEAD, padding=(0, 3, 0, 0))
    for name in left:
        made.add_column(name)
    for name in right:
        made.add_column(name, justify="right")
    return made


def show_lines(lines: Iterable[str], head: int | None = None, style: str = HEAD) -> None:
    """Print lines that are aligned already, unbroken; that of number `head` has a style."""
    out = console()
    for number, line in enumerate(lines):
        out.print(Text(line, style=style if number == head else ""), soft_wrap=True)


def show_json(content: Any) -> None:
    """Print one JSON object for a script."""
    print(json.dumps(content, indent=2, ensure_ascii=False))
