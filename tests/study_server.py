"""The app as annotators meet it: a real worker process on loopback, spoken to over HTTP."""

import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.collection import invite
from evalkit.study_folder import StudyFolder
from tests.study_factory import NOW, make_study

ROOT = Path(__file__).parent.parent
WINDOW = {
    "viewport_width": 1280,
    "viewport_height": 720,
    "screen_width": 1920,
    "screen_height": 1080,
    "pixel_ratio": 1.0,
}
PAGE = {"Content-Type": "application/json", "X-Evalkit": "1"}  # as the study's page sends


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


class StudyAddress:
    """Where a study is served on this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        return f"http://localhost:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        cookie: str | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request, no redirect followed; a body that is no bytes is sent as JSON.

        With a body, the headers are those that the page sends unless `headers` says otherwise.
        """
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Accept-Encoding": "gzip"}
        if content is not None:
            sent |= PAGE
        if cookie is not None:
            sent["Cookie"] = f"evalkit={cookie}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, content, {**sent, **(headers or {})})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            content = response.read()
            if names.get("content-encoding") == "gzip":
                content = gzip.decompress(content)
            return Answer(response.status, names, content)
        finally:
            connection.close()

    def enter(self, link: str, cookie: str | None = None) -> Answer:
        """Open a link (or only what stands in it from the ? on)."""
        return self.request("GET", f"/?{link.rpartition('?')[2]}", cookie)

    def visitor(self, link: str) -> "Visitor":
        """Whoever opens this link, let in."""
        answer = self.enter(link)
        assert answer.status == 303, (answer.status, answer.body[:2000])
        return Visitor(self, cookie_of(answer))


class StudyServer(StudyAddress):
    """A worker process for a store (a file, or a postgresql:// address) and public images."""

    def __init__(self, store_address: Path | str, blinded: Path) -> None:
        self.store_path, self.blinded = store_address, blinded
        self.journal = blinded.parent / "received"
        super().__init__(port=0)
        self.start()

    def start(self) -> None:
        """Start, or start again on the same port; returns when it listens."""
        places = ["--store", self.store_path, "--blinded", self.blinded, "--journal", self.journal]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "study_app", *map(str, places), "--port", str(self.port)],
            cwd=self.blinded.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        line = self.process.stdout.readline()
        started = line.startswith("Annotators vote at http://localhost:")
        assert started, line + self.process.communicate()[0]
        self.port = int(line.split()[3].rpartition(":")[2])

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def interrupt(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Ctrl-C or another signal; gives the exit code and what was printed after the address."""
        self.process.send_signal(number)
        output = self.process.communicate(timeout=30)[0]
        return self.process.returncode, output


def cookie_of(answer: Answer) -> str:
    """The secret in the answer's Set-Cookie."""
    return re.match(r"evalkit=([^;]*);", answer.headers["set-cookie"]).group(1)


class Visitor:
    """An annotator's browser without the page: it has the cookie and remembers the sitting."""

    def __init__(self, server: StudyAddress, cookie: str) -> None:
        self.server, self.cookie = server, cookie
        self.session_id = ""

    def post(self, name: str, body: Any) -> Answer:
        """POST /study/NAME as the page does."""
        return self.server.request("POST", f"/study/{name}", self.cookie, body)

    def image(self, trial_id: str, side: str) -> Answer:
        """One side of a trial."""
        return self.server.request("GET", f"/study/image/{trial_id}/{side}", self.cookie)

    def start(self) -> Answer:
        """Start a sitting; the stage may be any."""
        answer = self.post("session", WINDOW)
        if answer.status == 200:
            self.session_id = answer.json["session_id"]
        return answer

    def begin(self) -> dict:
        """Start a sitting, agree, read the instructions; gives the state with the first trials."""
        state = self.start().json
        if state["stage"] == "consent":
            version = state["consent"]["version"]
            body = {"session_id": self.session_id, "version": version}
            state = self.post("consent", body).json
        if state["stage"] == "instructions":
            state = self.post("instructed", {"session_id": self.session_id}).json
        return state

    def trials(self) -> Answer:
        """Ask for trials anew."""
        return self.post("trials", {"session_id": self.session_id})

    def vote(self, trial_id: str, choice: str, **more: Any) -> Answer:
        """Send a vote once; `more` are other keys of the body than the usual ones."""
        body = {
            "session_id": self.session_id,
            "trial_id": trial_id,
            "choice": choice,
            "response_ms": 900,
            **more,
        }
        return self.post("vote", body)

    def vote_kept(self, trial_id: str, choice: str, **more: Any) -> dict:
        """Send a vote until it is acknowledged, waiting where it is too early or too fast."""
        while (answer := self.vote(trial_id, choice, **more)).status in (425, 429):
            early = answer.status == 425
            time.sleep(0.1 if early else int(answer.headers["retry-after"]))
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json

    def vote_on(self, state: dict, choice: str = "left") -> dict:
        """Vote on the first trial of the state; gives the next state."""
        return self.vote_kept(state["trials"][0]["trial_id"], choice)

    def skip_practice(self, state: dict) -> dict:
        """Answer practice trials (left) until a trial counts."""
        while state["stage"] == "vote" and state["trials"][0]["practice"]:
            state = self.vote_on(state)
        return state


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def serve_study(
    root: Path, n_links: int, **settings: object
) -> Iterator[tuple[StudyServer, StudyFolder, Iterator[str]]]:
    """A running server over a factory study, its folder, and links into it; for a fixture."""
    folder = make_study(root / "study", **settings)
    links = iter(invite(folder, n_links, NOW, "http://localhost"))
    server = StudyServer(folder.store_address, folder.blinded)
    yield server, folder, links
    server.kill()
