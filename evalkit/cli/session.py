"""Commands about annotators' sessions: invite, serve."""

import importlib.util
import sys
from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.errors import EvalkitError


@app.command(
    epilog="Example: evalkit invite results/my-study --n 5 --url https://study.example.org"
)
def invite(
    path: StudyPath,
    n: Annotated[int, typer.Option("--n", min=1, max=10_000, help="How many annotators.")] = 1,
    url: Annotated[str, typer.Option(help="Where they reach it.")] = "http://localhost:8501",
    open_: Annotated[
        bool,
        typer.Option(
            "--open",
            help="The one link for all: for Prolific, or a new open link in place of the last.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Make personal links, one per annotator, or the open link; each is shown only now."""
    from evalkit.cli.terminal import show_json
    from evalkit.collection import invite, open_link
    from evalkit.progress import progress_bar
    from evalkit.study_folder import open_study

    folder = open_study(path)
    with progress_bar("images", in_pipe=False) as progress:
        if open_:
            links = [open_link(folder, now(), url, progress)]
        else:
            links = invite(folder, n, now(), url, progress)
    if as_json:
        show_json({"links": links})
    else:
        print("\n".join(links))


@app.command(epilog="Example: evalkit serve results/my-study --port 8501")
def serve(
    path: StudyPath,
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8501,
    host: Annotated[str, typer.Option(help="0.0.0.0 to be reached from elsewhere.")] = "127.0.0.1",
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes, on this port and the next ones.")
    ] = 1,
) -> None:
    """Start the app in which annotators vote; stop it with Ctrl-C."""
    from evalkit.collection import open_for_people
    from evalkit.leaks import refuse_leaks
    from evalkit.progress import progress_bar
    from evalkit.study_folder import open_study
    from study_app.workers import serve

    for name in ("streamlit", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise EvalkitError(
                f"serve: the app needs {name}, which is not installed; run: "
                'pip install "evalkit[app]"'
            )
    folder = open_study(path)
    with progress_bar("images", in_pipe=False) as progress:
        open_for_people(folder, now(), progress).close()
        refuse_leaks(folder, now=now(), say=_tell, progress=progress)
    serve(
        folder.store_address,
        folder.blinded,
        folder.received,
        port=port,
        host=host,
        workers=workers,
    )


def _tell(text: str) -> None:
    """To somebody who waits at a terminal."""
    if sys.stderr.isatty():
        typer.echo(text, err=True)
