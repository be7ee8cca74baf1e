"""A visitor of the app: asks as a browser does, and keeps all that it is answered."""

import gzip
import http.client
import json
import time
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from evalkit.errors import StudyError

_SECONDS = 20  # how long an answer may take
_MOST_WAITS = 60  # answers 425 or 429 in a row
_JSON = {"Content-Type": "application/json", "X-Evalkit": "1"}


@dataclass(frozen=True)
class Exchange:
    """An answer: to what, with which status, headers (names in lower case), body, after how long.

    `body` is decompressed; `length` is that of the bytes on the way. A frame of the page's
    websocket is one too, of method "FRAME".
    """

    method: str
    path: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float
    length: int

    @property
    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        if not dict(self.headers).get("content-type", "").startswith("application/json"):
            return None
        return json.loads(self.body)


@dataclass
class Visitor:
    """One browser: its cookies, one open connection, and every answer in order."""

    port: int
    exchanges: list[Exchange] = field(default_factory=list)
    cookies: dict[str, str] = field(default_factory=dict)
    _connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> Exchange:
        """Ask for an address; follows one redirect to our own."""
        found = self._ask("GET", path, None)
        if found.status in (302, 303, 307):
            target = urlsplit(dict(found.headers)["location"])
            return self._ask("GET", target.path or "/", None)
        return found

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post JSON as the page does, again while it is too early; the JSON that came back.

        Raises StudyError where the app answers anything but success.
        """
        content = json.dumps(body).encode()
        for _ in range(_MOST_WAITS):
            found = self._ask("POST", path, content)
            if found.status not in (425, 429):
                break
            time.sleep(float(dict(found.headers).get("retry-after", "0.1")))
        return _answered(found).json

    def image(self, path: str) -> Exchange:
        """Ask for an image; StudyError where it does not come."""
        for _ in range(_MOST_WAITS):
            found = self._ask("GET", path, None)
            if found.status != 429:
                break
            time.sleep(float(dict(found.headers).get("retry-after", "0.1")))
        return _answered(found)

    @property
    def cookie_header(self) -> dict[str, str]:
        """The cookies as a header; empty without any."""
        told = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Cookie": told} if told else {}

    def close(self) -> None:
        """End the connection; the next request makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, content: bytes | None) -> Exchange:
        started = time.perf_counter()
        try:
            try:
                response, body = self._send(method, path, content)
            except ConnectionError:  # it lay idle for long: once more on a fresh one
                self.close()
                response, body = self._send(method, path, content)
        except (OSError, http.client.HTTPException) as error:
            raise StudyError(
                f"the app that the leak check started does not answer {method} {path} ({error}); "
                "run evalkit check again"
            ) from error
        seconds = time.perf_counter() - started
        told = tuple((name.lower(), value) for name, value in response.getheaders())
        for name, value in told:
            if name == "set-cookie":
                self.cookies |= {key: morsel.value for key, morsel in SimpleCookie(value).items()}
        is_packed = dict(told).get("content-encoding") == "gzip"
        plain = gzip.decompress(body) if is_packed else body
        found = Exchange(method, path, response.status, told, plain, seconds, len(body))
        self.exchanges.append(found)
        return found

    def _send(
        self, method: str, path: str, content: bytes | None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)
        headers = {"Accept-Encoding": "gzip", **self.cookie_header}
        self._connection.request(method, path, content, headers | (_JSON if content else {}))
        response = self._connection.getresponse()
        return response, response.read()


def _answered(found: Exchange) -> Exchange:
    if found.status != 200:
        raise StudyError(
            f"the scripted session of the leak check: {found.method} {found.path} was answered "
            f"{found.status} ({found.body[:200].decode('utf-8', 'replace')}); expected is 200; "
            "this is a fault of the app: report it"
        )
    return found
