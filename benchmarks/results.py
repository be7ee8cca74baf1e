"""RESULTS.md: sections are added, never changed; each says when and on what it was measured."""

import os
import platform
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
QUIET = 0.5  # load of a machine that does nothing else


def add_section(where: str, lines: Sequence[str], file: Path = RESULTS) -> None:
    """Print the lines under today's date and where they were measured, and add them to the file."""
    head = [f"## {datetime.now(UTC):%Y-%m-%d}", "", where]
    text = "\n".join(["", *head, "", *lines, ""])
    print(text)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(text)


def machine(load: float) -> str:
    """Processor, cores, Python, what serves and stores votes; `load` is that of before."""
    names = ("evalkit", "streamlit", "starlette", "uvicorn", "sqlalchemy", "psycopg")
    used = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{processor()}; {os.cpu_count()} cores; Python {platform.python_version()}; {used}, "
        f"SQLite {sqlite3.sqlite_version}; load before: {load:.1f}"
    )


def processor() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text("utf-8").splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
