"""The app as annotators meet it: a real server process on loopback, spoken to over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_START = """
import sys
from pathlib import Path
from study_app.server import serve
serve(Path(sys.argv[1]), Path(sys.argv[2]), port=int(sys.argv[3]))
"""
WINDOW = {"viewport_width": 1280, "viewport_height": 720, "pixel_ratio": 1.0}


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower case) and body of a response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        """The body as JSON."""
        return json.loads(self.body)


class StudyServer:
    """A server process for a vote database and a folder of public images."""

    def __init__(self, store_path: Path, blinded: Path) -> None:
        self.store_path, self.blinded = store_path, blinded
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start, or start again on the same port; returns when it listens."""
        arguments = [str(self.store_path), str(self.blinded), str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, *arguments],
            cwd=self.store_path.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("Annotators vote at http://localhost:"), line
        self.port = int(line.split()[3].rpartition(":")[2])

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C; gives the exit code and what was printed after the address."""
        self.process.send_signal(signal.SIGINT)
        output = self.process.communicate(timeout=30)[0]
        return self.process.returncode, output

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        return f"http://localhost:{self.port}"

    def request(
        self, method: str, path: str, token: str | None = None, body: object = None
    ) -> Answer:
        """One request; `body` is sent as it is where it is bytes, else as JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Accept-Encoding": "gzip"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=content, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return _answer(response.status, response)
        except urllib.error.HTTPError as error:
            return _answer(error.code, error)

    def begin(self, token: str, consent: bool = True) -> Answer:
        """Start a session, as the page does when it opens."""
        return self.request("POST", "/session", token, {"consent": consent, **WINDOW})

    def vote(
        self, token: str, session_id: str, trial_id: str, choice: str, response_ms: int = 900
    ) -> Answer:
        """Send a vote, as the page does."""
        body = {
            "session_id": session_id,
            "trial_id": trial_id,
            "choice": choice,
            "response_ms": response_ms,
        }
        return self.request("POST", "/vote", token, body)


def _answer(status: int, response: object) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status, headers, response.read())


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
