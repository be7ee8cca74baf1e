"""What Streamlit sends to a page through its websocket, frame by frame."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from evalkit.errors import StudyError
from evalkit.leaks.visitor import Exchange, Visitor

_PATH = "/_stcore/stream"
_PROTOCOL = "streamlit"
# BackMsg with an empty ClientState in field 11 (rerun_script): what a page sends when it opens.
_OPEN_PAGE = b"\x5a\x00"
_MOST_BYTES = 2**26
_SECONDS = 20


@contextmanager
def open_page(visitor: Visitor) -> Iterator[None]:
    """An open page: listens until it is closed, and keeps every frame with its visitor.

    Raises StudyError where the websocket cannot be opened or stays silent.
    """
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    heard = threading.Event()
    address = f"127.0.0.1:{visitor.port}"

    def listen() -> None:
        with suppress(WebSocketException):  # it was closed
            for frame in socket:
                body = frame.encode() if isinstance(frame, str) else frame
                visitor.exchanges.append(Exchange("FRAME", _PATH, 200, (), body, 0.0, len(body)))
                heard.set()

    try:
        with connect(
            f"ws://{address}{_PATH}",
            origin=f"http://{address}",
            subprotocols=[_PROTOCOL],
            additional_headers=visitor.cookie_header,
            max_size=_MOST_BYTES,
        ) as socket:
            listener = threading.Thread(target=listen, daemon=True)
            listener.start()
            socket.send(_OPEN_PAGE)
            yield
            silent = not heard.wait(_SECONDS)
        listener.join(_SECONDS)
    except (OSError, WebSocketException) as error:
        raise StudyError(
            f"the page's websocket failed ({error}); run evalkit check again"
        ) from error
    if silent:
        raise StudyError(
            f"the page's websocket sent nothing in {_SECONDS} s; run evalkit check again"
        )
