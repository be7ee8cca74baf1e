"""Commands that begin a study: init, models."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.app import app
from evalkit.cli.completion import model_names, preset_names, study_folders
from evalkit.errors import EvalkitError


@app.command(epilog="Example: evalkit init results/my-study --preset sdxl-turbo")
def init(
    path: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder to make.")],
    preset: Annotated[
        str | None,
        typer.Option(help="scenes (without one), or sdxl-turbo.", autocompletion=preset_names),
    ] = None,
    new_version: Annotated[
        Path | None,
        typer.Option(
            metavar="STUDY",
            help="Begin with that study, and name it as the previous.",
            autocompletion=study_folders,
        ),
    ] = None,
) -> None:
    """Make a study folder with a commented study.toml, or a new version of a study."""
    if preset is not None and new_version is not None:
        raise EvalkitError("init: --preset and --new-version exclude each other; leave one out")
    if new_version is not None:
        from evalkit.new_version import new_version as begin
        from evalkit.study_folder import open_study

        file = begin(open_study(new_version), path)
    else:
        from evalkit.presets import init_study

        file = init_study(path, preset or "scenes")
    print(f"Wrote {file}. Read it, change it, then run: evalkit generate {path}")


@app.command(epilog="Example: evalkit models sdxl-turbo")
def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Show it whole.", autocompletion=model_names),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The catalogue's entries.")] = False,
) -> None:
    """List the models of the catalogue, or show one and what a study may change."""
    from evalkit.cli.terminal import show_json, show_lines
    from evalkit.models import CATALOGUE
    from evalkit.models.listing import describe_model, list_models

    shown = list_models() if name is None else describe_model(name)  # it refuses unknown names
    if as_json:
        show_json(CATALOGUE if name is None else {name: CATALOGUE[name]})
    else:
        show_lines(shown.splitlines(), head=0)
