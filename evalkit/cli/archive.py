"""Commands that take a study elsewhere: archive, import."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app, now

Source = Annotated[Path, typer.Argument(metavar="ARCHIVE|FOLDER", help=".zip, .tar.gz, a folder.")]


@app.command(epilog="Example: evalkit archive results/my-study --to my-study.zip")
def archive(
    path: StudyPath,
    to: Annotated[Path, typer.Option(metavar="FILE.zip", help="The file to write.")],
) -> None:
    """Write a whole study into one file, its votes as of one moment, also while people vote."""
    from evalkit.archive import archive_study
    from evalkit.study_folder import open_study

    n = archive_study(open_study(path), to, now())
    print(f"Wrote {to}: {n:,} files. Read it back with: evalkit import {to} NEW")


@app.command("import", epilog="Example: evalkit import my-study.zip results/my-study")
def import_(
    source: Source,
    to: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder to make.")],
) -> None:
    """Put an archived study in place, once every hash of it is verified."""
    from evalkit.archive import import_study

    checks = import_study(source, to, now())
    print("\n".join(check.line for check in checks))
    print(f"Imported {to}")
