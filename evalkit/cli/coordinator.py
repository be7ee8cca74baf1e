"""Commands of the coordinator: status, pause, resume, block, unblock, dashboard."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    import pandas as pd

    from evalkit.monitoring import Overview
    from evalkit.store import Store
    from evalkit.study_folder import StudyFolder

_REFRESH_SECONDS = 5
_PASSWORD = "EVALKIT_DASHBOARD_PASSWORD"

Annotator = Annotated[str, typer.Argument(metavar="ANNOTATOR", help="The annotator's id.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the log.")]


@app.command(epilog="Example: evalkit status results/my-study --watch")
def status(
    path: StudyPath,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say how the study stands: votes, annotators, alarms."""
    from rich.live import Live

    from evalkit.cli.terminal import console, show

    if watch and as_json:
        raise EvalkitError("status: --watch and --json exclude each other; leave one out")
    with _opened(path) as (folder, store):
        if as_json:
            print(_as_json(folder, store))
        elif not watch:
            show(_page(folder, store))
        else:
            with Live(_page(folder, store), console=console(), auto_refresh=False) as live:
                while True:
                    time.sleep(_REFRESH_SECONDS)
                    live.update(_page(folder, store), refresh=True)


@app.command(epilog='Example: evalkit pause results/my-study --reason "wrong consent text"')
def pause(path: StudyPath, reason: Reason) -> None:
    """Pause the study: nobody gets a new trial until it is resumed."""
    with _opened(path) as (_, store):
        if not store.pause(_said(reason, "pause"), now()):
            raise EvalkitError(
                f'pause: {path} is paused already ("{(store.paused() or {}).get("reason", "")}"); '
                f"go on with: evalkit resume {path}"
            )
    print(f"Paused. Go on with: evalkit resume {path}")


@app.command(epilog="Example: evalkit resume results/my-study")
def resume(path: StudyPath) -> None:
    """Resume a paused study."""
    with _opened(path) as (_, store):
        if store.paused() is None:
            raise EvalkitError(f"resume: {path} is not paused; there is nothing to do")
        store.resume(now())
    print("Resumed.")


@app.command(
    epilog='Example: evalkit block results/my-study 1f2e3d4c5b6a7988 --reason "fails the checks"'
)
def block(path: StudyPath, annotator: Annotator, reason: Reason) -> None:
    """Give an annotator no more trials; their votes stay."""
    from evalkit.monitoring import require_annotator

    with _opened(path) as (_, store):
        require_annotator(store, annotator)
        store.block(annotator, _said(reason, "block"), now())
    print(f"Blocked {annotator}. Take it back with: evalkit unblock {path} {annotator}")


@app.command(epilog="Example: evalkit unblock results/my-study 1f2e3d4c5b6a7988")
def unblock(path: StudyPath, annotator: Annotator) -> None:
    """Let a blocked annotator go on."""
    from evalkit.monitoring import require_annotator

    with _opened(path) as (_, store):
        require_annotator(store, annotator)
        if not store.unblock(annotator, now()):
            raise EvalkitError(f"unblock: {annotator} is not blocked; there is nothing to do")
    print(f"Unblocked {annotator}.")


@app.command(epilog="Example: evalkit dashboard results/my-study")
def dashboard(
    path: StudyPath,
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8599,
    host: Annotated[str, typer.Option(help="0.0.0.0 to be reached from elsewhere.")] = "127.0.0.1",
    secrets: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Log in by OpenID Connect: its [auth].")
    ] = None,
) -> None:
    """Start the coordinator's page; it asks for a password.

    That of EVALKIT_DASHBOARD_PASSWORD, else one typed in at the start.
    """
    from evalkit.lock import open_votes
    from evalkit.study_folder import open_study

    folder = open_study(path)
    try:
        from study_app.dashboard.accounts import read_accounts
        from study_app.dashboard.server import check_password, serve
    except ModuleNotFoundError as error:
        raise EvalkitError(
            f"dashboard: the page needs {error.name}, which is not installed; run: "
            'pip install "evalkit[app]"'
        ) from None
    door = check_password(_password()) if secrets is None else read_accounts(secrets)
    serve(open_votes(folder), folder.received, folder.study.name, door, port=port, host=host)


def _password() -> str:
    """The password of the environment, or typed in; EvalkitError where there is neither."""
    import getpass
    import os
    import sys

    password = os.environ.get(_PASSWORD)
    if password is None and sys.stdin.isatty():
        password = getpass.getpass("Password for the dashboard: ")
    if not password:
        raise EvalkitError(
            f"dashboard: no password; set {_PASSWORD}, or start it in a terminal, which asks; or "
            "give --secrets for a login by OpenID Connect"
        )
    return password


@contextmanager
def _opened(path: Path) -> Iterator[tuple["StudyFolder", "Store"]]:
    """The study's folder and its vote database, closed at the end."""
    from evalkit.lock import open_votes
    from evalkit.study_folder import open_study

    folder = open_study(path)
    store = open_votes(folder)
    try:
        yield folder, store
    finally:
        store.close()


def _page(folder: "StudyFolder", store: "Store") -> object:
    from evalkit.cli.status_page import status_page

    overview, flagged, anytime = _look(folder, store)
    return status_page(folder.study.name, folder.root, overview, flagged, anytime)


def _as_json(folder: "StudyFolder", store: "Store") -> str:
    """`monitoring.Overview.as_json` with the study's name and the flags of who has any.

    Under the stopping rule `anytime` also the rule, and a row per question and pair.
    """
    import json

    overview, flagged, anytime = _look(folder, store)
    content = {"study": folder.study.name, **overview.as_json(), "flagged": flagged}
    if anytime is not None:
        from evalkit.result_tables.writing import rows_of

        content |= {"stopping_rule": folder.study.stopping.rule, "anytime": rows_of(anytime)}
    return json.dumps(content, indent=2, ensure_ascii=False)


def _look(
    folder: "StudyFolder", store: "Store"
) -> tuple["Overview", dict[str, str], "pd.DataFrame | None"]:
    """The overview, the flags of who has any, and what the stopping rule lets be seen."""
    from evalkit.anytime_status import anytime_status
    from evalkit.monitoring import annotator_rows, overview

    at = now()
    rows = annotator_rows(store, at)
    rows = rows[rows["flags"] != ""]
    flagged = dict(zip(rows["annotator_id"], rows["flags"], strict=True))
    return overview(store, folder.received, at), flagged, anytime_status(folder, store)


def _said(reason: str, command: str) -> str:
    if not reason.strip():
        raise EvalkitError(f"{command}: --reason is empty; say why, it is kept in the log")
    return reason.strip()
