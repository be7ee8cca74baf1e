"""Commands about annotators' sessions: invite, serve."""

from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.errors import EvalkitError


@app.command()
def invite(
    path: StudyPath,
    n: Annotated[int, typer.Option("--n", min=1, max=10_000, help="How many annotators.")] = 1,
    url: Annotated[str, typer.Option(help="Where they reach it.")] = "http://localhost:8501",
) -> None:
    """Make personal links, one per annotator; each is shown only now."""
    from evalkit.collection import invite
    from evalkit.study_folder import open_study

    for link in invite(open_study(path), n, now=now(), url=url):
        print(link)


@app.command()
def serve(
    path: StudyPath,
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8501,
    host: Annotated[str, typer.Option(help="0.0.0.0 to be reached from elsewhere.")] = "127.0.0.1",
) -> None:
    """Start the app in which annotators vote; stop it with Ctrl-C."""
    from evalkit.collection import open_collection
    from evalkit.study_folder import open_study

    try:
        from study_app.server import serve
    except ModuleNotFoundError as error:
        raise EvalkitError(
            f"serve: the app needs {error.name}, which is not installed; run: "
            'pip install "evalkit[app]"'
        ) from None
    folder = open_study(path)
    open_collection(folder, now=now())
    serve(folder.store_file, folder.blinded, port=port, host=host)
