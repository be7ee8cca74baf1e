"""The dashboard as coordinators meet it: a real process on loopback."""

import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from pathlib import Path

from tests.study_server import free_port

PASSWORD = "correct horse battery"


class DashboardServer:
    """A process of `evalkit dashboard` for a study folder."""

    def __init__(self, root: Path, *arguments: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "evalkit.cli", "dashboard", str(root), "--port",
                str(self.port), *arguments,
            ],
            env={**os.environ, "EVALKIT_DASHBOARD_PASSWORD": PASSWORD},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        line = self.process.stdout.readline()
        assert line == f"The dashboard is at {self.url} (stop with Ctrl-C)\n", line

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        return f"http://localhost:{self.port}"

    def kill(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def get(self, path: str, cookie: str | None = None) -> tuple[int, str, Message]:
        """Status, text and headers of a page; redirects are not followed."""
        headers = {"Cookie": cookie} if cookie else {}
        return _ask(urllib.request.Request(self.url + path, headers=headers))

    def log_in(self, password: str, origin: str | None = None) -> tuple[int, str, Message]:
        """Send the form of the login page."""
        body = urllib.parse.urlencode({"password": password}).encode()
        headers = {"Origin": origin or self.url}
        return _ask(urllib.request.Request(self.url + "/login", data=body, headers=headers))


class _Staying(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _ask(request: urllib.request.Request) -> tuple[int, str, Message]:
    try:
        with urllib.request.build_opener(_Staying).open(request, timeout=20) as answer:
            return answer.status, answer.read().decode(errors="replace"), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace"), error.headers
