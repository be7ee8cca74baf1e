"""The command line's app, and what several commands share: the study's folder and the time."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.completion import study_folders

app = typer.Typer(
    help="Matched images, blind votes and win rates with honest intervals.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=(
        "Exit codes: 0 done; 1 a bug of evalkit, with its traceback; 2 a mistake in what was "
        "given, in one sentence; 130 stopped by Ctrl-C."
    ),
)

StudyPath = Annotated[
    Path,
    typer.Argument(metavar="STUDY", help="The study's folder.", autocompletion=study_folders),
]


def now() -> str:
    """The time: UTC, ISO 8601, milliseconds."""
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="milliseconds")
