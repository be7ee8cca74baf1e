"""Console blocks of the README and the guide: their commands, and what they show, run for real."""

import re
import shlex
import subprocess
import sys
from pathlib import Path


def steps(page: str) -> list[tuple[str, str]]:
    """(command, the output that the page shows) of every console block of a page's text."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.strip()))
    return found


def shape(text: str) -> str:
    """Output without what differs from machine to machine: numbers, tokens, marks of progress."""
    text = re.sub(r"token=\S+", "token=T", text)
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?", "N", text)).strip()


def assert_shown(command: str, printed: str, shown: str) -> None:
    """The output is what the page shows, without what `shape` takes away and "…" leaves out."""
    if "…" not in shown:
        assert shape(printed) == shape(shown), command
        return
    rest = shape(printed)
    first, *others = [shape(part) for part in shown.split("…")]
    assert rest.startswith(first), f"{command}: {rest[:200]}"
    for part in others:
        assert part in rest, f"{command}: {part}"
        rest = rest[rest.index(part) + len(part) :]
    assert not shape(shown.split("…")[-1]) or not rest, f"{command}: {rest}"


def run(command: str, folder: Path) -> subprocess.CompletedProcess:
    """An evalkit command, run in a folder."""
    arguments = [sys.executable, "-m", "evalkit.cli", *shlex.split(command)[1:]]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=600)
