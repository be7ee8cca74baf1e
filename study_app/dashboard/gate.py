"""The door of the dashboard by password: without a login nothing behind it is reached at all.

It stands before Streamlit, for pages, files and the websocket alike.
"""

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from study_app.dashboard.attempts import Attempts

COOKIE = "evalkit_dashboard"
_HOURS = 12  # a login lasts
_BODY_LIMIT = 2048  # bytes
_PAGE = (Path(__file__).parent / "login.html").read_text("utf-8")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
}


class Logins:
    """Who is logged in: secrets of cookies, of which only hashes are kept, in this process."""

    def __init__(self, password: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._password, self._clock = _hash(password), clock
        self._until: dict[bytes, float] = {}

    def is_password(self, given: str) -> bool:
        """Whether this is the password; takes the same time for every other one."""
        return hmac.compare_digest(_hash(given), self._password)

    def log_in(self) -> str:
        """A new cookie's secret, good for 12 hours."""
        now = self._clock()
        self._until = {key: until for key, until in self._until.items() if until > now}
        secret = secrets.token_urlsafe(32)
        self._until[_hash(secret)] = now + _HOURS * 3600
        return secret

    def knows(self, secret: str | None) -> bool:
        """Whether this secret was given out, has not run out and was not logged out."""
        return secret is not None and self._until.get(_hash(secret), 0.0) > self._clock()

    def log_out(self, secret: str | None) -> None:
        """This secret opens nothing any more."""
        if secret is not None:
            self._until.pop(_hash(secret), None)


class Gate:
    """ASGI middleware: /login and /logout, and everything else only for who is logged in."""

    def __init__(self, app: ASGIApp, logins: Logins, attempts: Attempts) -> None:
        self._app, self._logins, self._attempts = app, logins, attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI interface."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        secret = connection.cookies.get(COOKIE)
        if scope["type"] == "websocket":
            allowed = self._logins.knows(secret) and _is_own(connection)
            answer = self._app if allowed else PlainTextResponse("Log in first", status_code=403)
        elif scope["path"] == "/login" and scope["method"] == "POST":
            answer = await self._try(Request(scope, receive))
        elif scope["path"] == "/logout":
            self._logins.log_out(secret)
            answer = RedirectResponse("/", status_code=303, headers={"Cache-Control": "no-store"})
            answer.delete_cookie(COOKIE)
        elif self._logins.knows(secret):
            answer = self._app
        elif scope["path"] == "/":
            answer = _login_page("", 401)
        else:
            answer = PlainTextResponse("Log in first", status_code=403)
        await answer(scope, receive, send)

    async def _try(self, request: Request) -> Response:
        """The answer to a password."""
        if not _is_own(request):
            return PlainTextResponse("Not from this page", status_code=403)
        address = request.client.host if request.client else ""
        given = await _given_password(request)
        # From here on nothing is awaited: tries at the same moment are counted one by one.
        seconds = math.ceil(self._attempts.wait(address))
        if seconds:
            page = _login_page(f"Too many wrong passwords. Try again in {seconds} s.", 429)
            page.headers["Retry-After"] = str(seconds)
            return page
        if given is None or not self._logins.is_password(given):
            self._attempts.failed(address)
            return _login_page("That is not the password.", 401)
        self._attempts.succeeded(address)
        answer = RedirectResponse("/", status_code=303, headers={"Cache-Control": "no-store"})
        answer.set_cookie(
            COOKIE, self._logins.log_in(), max_age=_HOURS * 3600, httponly=True, samesite="lax",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer


async def _given_password(request: Request) -> str | None:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _BODY_LIMIT:
            return None
    fields = parse_qs(content.decode("utf-8", errors="replace"))
    return fields.get("password", [None])[0]


def _is_own(connection: HTTPConnection) -> bool:
    """Whether it comes from a page of this address: cookies know neither ports nor intent."""
    origin = connection.headers.get("origin", "")
    return urlsplit(origin).netloc == connection.headers.get("host")


def _login_page(message: str, status: int) -> HTMLResponse:
    page = _PAGE.replace("<!-- message -->", message)
    return HTMLResponse(page, status_code=status, headers=_HEADERS)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
