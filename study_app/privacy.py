"""Response headers and closed paths that keep a personal link personal."""

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSED_PATHS = ("/_stcore/metrics",)  # Streamlit would show them to anybody
HEADERS = {
    "Referrer-Policy": "no-referrer",  # the token stands in the address
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class PrivacyMiddleware:
    """Adds the headers to every response and answers 404 on closed paths."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI interface."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        closed = scope["path"].rstrip("/") in CLOSED_PATHS
        app = PlainTextResponse("Not found", status_code=404) if closed else self.app
        await app(scope, receive, send_with_headers)
