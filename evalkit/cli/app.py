"""The command line's app, and what several commands share: the study's folder and the time."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Matched images, blind votes and win rates with honest intervals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")]


def now() -> str:
    """The time: UTC, ISO 8601, milliseconds."""
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="milliseconds")
