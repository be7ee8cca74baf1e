"""Commands that begin a study: init, models."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.app import app


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder to make.")],
    preset: Annotated[str, typer.Option(help="scenes, or sdxl-turbo.")] = "scenes",
) -> None:
    """Make a study folder with a commented study.toml."""
    from evalkit.presets import init_study

    file = init_study(path, preset)
    print(f"Wrote {file}. Read it, change it, then run: evalkit generate {path}")


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show it whole.")] = None,
) -> None:
    """List the models of the catalogue, or show one and what a study may change."""
    from evalkit.models.listing import describe_model, list_models

    print(list_models() if name is None else describe_model(name))
