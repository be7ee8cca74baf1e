"""Workers of the app that start at once, forked from a process that has loaded their code.

Each is what `python -m study_app` is to the letter. Only what takes that two seconds is done once
and beforehand: its imports, and Streamlit's search for components among all installed packages.
"""

import asyncio
import functools
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

from evalkit.study_folder import StudyFolder

ROOT = Path(__file__).parents[1]
_IMPORTED_LATE = (
    "study_app.__main__",
    "anyio._backends._asyncio",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
)
_PATIENCE = 60.0  # seconds in which a worker must answer, or be gone


class Workers:
    """Workers of a study on ports of their own, killed and started again at will."""

    def __init__(self, folder: StudyFolder, n: int) -> None:
        self.ports = [_free_port() for _ in range(n)]
        self._folder = folder
        self._numbers = [0] * n  # of the processes

    def __enter__(self) -> "Workers":
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.forked"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        for number in range(len(self.ports)):
            self.start(number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in range(len(self.ports)):
            self.kill(number)
        self._parent.stdin.close()
        self._parent.wait(_PATIENCE)
        self._parent.stdout.close()

    def start(self, number: int) -> None:
        """Start this worker, which then listens on the port that it always has."""
        folder = self._folder
        given = ["--blinded", folder.blinded, "--journal", folder.received]
        given += ["--store", folder.store_address, "--port", self.ports[number]]
        print(json.dumps([str(each) for each in given]), file=self._parent.stdin, flush=True)
        self._numbers[number] = int(self._parent.stdout.readline())

    def kill(self, number: int) -> None:
        """End this worker by SIGKILL, and wait until it is gone."""
        deadline = time.monotonic() + _PATIENCE
        while self._is_there(number, signal.SIGKILL):
            if time.monotonic() > deadline:
                raise RuntimeError(f"worker {number} does not go")
            time.sleep(0.001)

    async def answers(self, number: int) -> None:
        """Wait until this worker answers a request; RuntimeError where that does not come."""
        deadline = time.monotonic() + _PATIENCE
        while not await _is_healthy(self.ports[number]):
            if time.monotonic() > deadline or not self._is_there(number):
                raise RuntimeError(f"worker {number} does not answer")
            await asyncio.sleep(0.02)

    def _is_there(self, number: int, told: int = 0) -> bool:
        """Whether the process is alive and so gets this signal."""
        try:
            os.kill(self._numbers[number], told)
        except ProcessLookupError:
            return False
        return True


async def _is_healthy(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /_stcore/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        line = await reader.readline()
        writer.close()
    except OSError:
        return False
    return line.startswith(b"HTTP/1.1 200")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main() -> None:
    """For each line of arguments on standard input fork a worker; its process id is printed."""
    _load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system clears away who has ended
    ours = os.getpid()
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            _work([*json.loads(line), "--parent", str(ours)])
        print(process, flush=True)


def _load() -> None:
    for name in _IMPORTED_LATE:
        importlib.import_module(name)
    from streamlit.components.v2 import manifest_scanner

    search = functools.cache(manifest_scanner.scan_component_manifests)
    search()
    manifest_scanner.scan_component_manifests = search


def _work(given: list[str]) -> None:
    """Be a worker until the end."""
    from study_app.__main__ import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # that it listens is known
    sys.argv = ["study_app", *given]
    try:
        main()
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
