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
    """Write a whole study into one file, its votes as of one moment, also while people vote.

    A study that verify fails is written too, and said to be refused by import; exit code 2.
    """
    from evalkit.archive import archive_study
    from evalkit.study_folder import open_study
    from evalkit.verification import require_whole, verify

    folder = open_study(path)
    n = archive_study(folder, to, now())
    require_whole(verify(folder, now()), f"archive: wrote {to}, which evalkit import will refuse")
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
