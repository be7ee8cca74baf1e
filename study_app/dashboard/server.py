"""Start the dashboard: the gate, the headers and Streamlit's page in one server, until Ctrl-C."""

import contextlib
from pathlib import Path

import uvicorn
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config as streamlit_config
from streamlit.starlette import App

from evalkit.errors import EvalkitError
from evalkit.store import Store
from study_app.dashboard.accounts import Accounts
from study_app.dashboard.attempts import Attempts
from study_app.dashboard.gate import Gate, Logins
from study_app.dashboard.watched import Watched, watch
from study_app.headers import HEADERS, page_scripts, policy, with_headers
from study_app.settings import SETTINGS
from study_app.workers import listen

SCRIPT = Path(__file__).parent / "app.py"
SHORTEST_PASSWORD = 12  # characters


class Headers:
    """ASGI middleware: the headers on every answer that does not bring its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = {
            **HEADERS,
            "Content-Security-Policy": policy(page_scripts()),
            "Referrer-Policy": "same-origin",  # without a referrer, a form's Origin would be null
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI interface."""
        await self._app(scope, receive, with_headers(send, self._headers))


def check_password(password: str) -> Logins:
    """The door that opens to this password; EvalkitError where it is too short."""
    if len(password) < SHORTEST_PASSWORD:
        raise EvalkitError(
            f"dashboard: the password has {len(password)} characters; allowed are "
            f"{SHORTEST_PASSWORD} and more; choose a longer one"
        )
    return Logins(password)


def make_app(door: Logins | Accounts) -> App:
    """The ASGI app for the study that `watch` was given."""
    files = [str(door.file)] if isinstance(door, Accounts) else []
    settings = {**SETTINGS, "secrets.files": files}
    streamlit_config.get_config_options(force_reparse=True, options_from_flags=settings)
    middleware = [Middleware(Headers)]
    if isinstance(door, Logins):
        middleware.append(Middleware(Gate, logins=door, attempts=Attempts()))
    return App(SCRIPT, middleware=middleware)


def serve(
    store: Store,
    received: Path,
    name: str,
    door: Logins | Accounts,
    port: int = 8599,
    host: str = "127.0.0.1",
) -> None:
    """Show the study of this store until Ctrl-C or SIGTERM; prints the page's address.

    Reads and changes the vote database, which is closed at the end, reads the journals in
    `received`, and nothing else of the study. Raises EvalkitError where host and port cannot be
    had.
    """
    watch(Watched(store, received, name, door))
    listener = listen(host, port)
    config = uvicorn.Config(
        make_app(door),
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        timeout_graceful_shutdown=2,
    )
    bound = listener.getsockname()[1]
    print(f"The dashboard is at http://localhost:{bound} (stop with Ctrl-C)", flush=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the server has stopped in good order
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
        store.close()
