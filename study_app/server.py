"""Start the app: Streamlit's page and the app's own routes in one server, until Ctrl-C."""

import contextlib
import socket
from pathlib import Path

import uvicorn
from starlette.middleware import Middleware
from streamlit import config as streamlit_config
from streamlit.starlette import App

from evalkit.errors import EvalkitError
from study_app.privacy import PrivacyMiddleware
from study_app.routes import routes
from study_app.served import open_served

SCRIPT = Path(__file__).parent / "app.py"
SETTINGS = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "runner.postScriptGC": False,  # 90 ms of CPU after each run otherwise
    "server.enableStaticServing": False,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxMessageSize": 5,  # MB
    "server.maxUploadSize": 1,  # MB
    "theme.base": "light",
    "theme.backgroundColor": "#cccccc",
    "theme.primaryColor": "#333333",
    "theme.secondaryBackgroundColor": "#c0c0c0",
    "theme.textColor": "#1a1a1a",
}


def make_app() -> App:
    """The ASGI app for the study that `open_served` opened."""
    streamlit_config.get_config_options(force_reparse=True, options_from_flags=SETTINGS)
    return App(SCRIPT, routes=routes(), middleware=[Middleware(PrivacyMiddleware)])


def serve(store_path: Path, blinded: Path, port: int = 8501, host: str = "127.0.0.1") -> None:
    """Serve the study until Ctrl-C or SIGTERM; port 0 takes a free one. Prints the address.

    Reads the vote database and the folder of public images and nothing else of the study. Raises
    StoreError where the database is missing, EvalkitError where the address cannot be had.
    """
    served = open_served(store_path, blinded)
    listener = _listen(host, port)
    app = make_app()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=SETTINGS["server.maxMessageSize"] * 2**20,
        timeout_graceful_shutdown=2,
    )
    address, bound = listener.getsockname()[:2]
    name = "localhost" if address in ("127.0.0.1", "::1", "0.0.0.0", "::") else address
    print(f"Annotators vote at http://{name}:{bound} (stop with Ctrl-C)", flush=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the server has stopped in good order
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
        served.store.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server((host, port), family=found[0][0], backlog=2048)
    except OSError as error:
        raise EvalkitError(
            f"serve: {host}:{port} cannot be listened on ({error.strerror}); stop what uses it or "
            "choose another with --port"
        ) from None
