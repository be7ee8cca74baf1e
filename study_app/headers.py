"""The app's outer wall: which paths exist at all, and the headers of every answer."""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = (
    "/",
    "/favicon.png",
    "/manifest.json",
    "/_stcore/health",
    "/_stcore/host-config",
    "/_stcore/stream",
)
OPEN_FOLDERS = ("/study/", "/static/")
_READING = ("GET", "HEAD")
_CLOSED_FEATURES = (
    "accelerometer", "autoplay", "camera", "display-capture", "geolocation",
    "gyroscope", "hid", "magnetometer", "microphone", "midi", "payment", "serial", "usb",
)  # fmt: skip


def policy(scripts: str) -> str:
    """The Content-Security-Policy with these sources of scripts; everything else is our own.

    Streamlit writes its styles into the page, and a component's style likewise.
    """
    rules = {
        "default-src": "'none'",
        "script-src": scripts,
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' blob: data:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def page_scripts() -> str:
    """Sources of scripts that Streamlit's page needs: its files, its inline ones by their hash,
    and a component's code, which it loads from an address in memory."""
    index = Path(streamlit.__file__).parent / "static" / "index.html"
    inline = re.findall(r"<script>(.*?)</script>", index.read_text("utf-8"), flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in inline]
    return " ".join(["'self'", "blob:", *(f"'sha256-{value}'" for value in hashes)])


HEADERS = {
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _CLOSED_FEATURES),
    "Referrer-Policy": "no-referrer",  # a link with a token may stand in the address
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Wall:
    """Answers 404 on every path that is not named above, and puts the headers on every answer.

    An answer that brings a header of its own (a plain page allows no script at all) keeps it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._headers = {**HEADERS, "Content-Security-Policy": policy(page_scripts())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI interface."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        app = self.app if _is_open(scope) else PlainTextResponse("Not found", status_code=404)
        await app(scope, receive, with_headers(send, self._headers))


def with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    """`send`, which gives every answer those of these headers that it does not have."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            own = MutableHeaders(scope=message)
            for name, value in headers.items():
                own.setdefault(name, value)
        await send(message)

    return send_with_headers


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    if path.startswith("/study/"):
        return True
    reads = scope["type"] == "websocket" or scope["method"] in _READING
    return reads and (path in OPEN_PATHS or path.startswith(OPEN_FOLDERS))
