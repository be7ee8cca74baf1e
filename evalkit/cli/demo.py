"""The demo: the whole chain in one command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.app import app, now


@app.command(epilog="Example: evalkit demo results/demo")
def demo(
    path: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where.")] = Path("results/demo"),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where you vote.")] = 8501,
) -> None:
    """Run the whole chain on built-in models with simulated votes, then let you vote."""
    from evalkit.demo import run_demo

    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    run_demo(path, now=now(), interactive=interactive, port=port)
