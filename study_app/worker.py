"""One worker: Streamlit's page and the app's own routes in one server, until Ctrl-C or SIGTERM."""

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp
from streamlit import config as streamlit_config
from streamlit.starlette import App

from study_app.entry import Entry
from study_app.headers import Wall
from study_app.routes import routes
from study_app.served import open_served
from study_app.settings import SETTINGS
from study_app.workers import listen

SCRIPT = Path(__file__).parent / "app.py"
_PROXIES = "127.0.0.1,::1"  # whose X-Forwarded-Proto and -For are believed, unless named otherwise

# Seconds an idle connection stays: longer than a proxy keeps it (nginx: 60), so that never a vote
# is sent into one that is being closed.
_KEEP_ALIVE = 75


def make_app() -> ASGIApp:
    """The ASGI app for the study that `open_served` opened."""
    streamlit_config.get_config_options(force_reparse=True, options_from_flags=SETTINGS)
    return Wall(ServerErrorMiddleware(Entry(App(SCRIPT, routes=routes()))))


def run_worker(
    store_address: Path | str, blinded: Path, journal: Path, port: int, host: str
) -> None:
    """Serve the study until Ctrl-C or SIGTERM; port 0 takes a free one. Prints the address.

    Raises StoreError where the database is missing, EvalkitError where the address cannot be had.
    """
    served = open_served(store_address, blinded, journal)
    listener = listen(host, port)
    config = uvicorn.Config(
        make_app(),
        log_level="warning",
        access_log=False,
        server_header=False,
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", _PROXIES),
        timeout_keep_alive=_KEEP_ALIVE,
        ws="websockets-sansio",
        ws_max_size=SETTINGS["server.maxMessageSize"] * 2**20,
        timeout_graceful_shutdown=2,
    )
    address, bound = listener.getsockname()[:2]
    name = "localhost" if address in ("127.0.0.1", "::1", "0.0.0.0", "::") else address
    gc.collect()
    gc.freeze()  # what is loaded stays: looking through all of it stops every vote for 0.2 s
    signal.signal(signal.SIGTERM, _stop)  # uvicorn hands the signal on when it has stopped
    print(f"Annotators vote at http://{name}:{bound} (stop with Ctrl-C)", flush=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the server has stopped in good order
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
        served.store.close()


def end_with(parent: int) -> None:
    """End this process in good order soon after its parent has ended, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
