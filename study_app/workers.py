"""The workers of a study: N processes on neighbouring ports, started again when one dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from evalkit.errors import EvalkitError

STORE_VARIABLE = "EVALKIT_STORE"  # an address may hold a password, which arguments would show
_PAUSE = 0.5  # seconds before a worker that died is started again, doubled each time,
_LONGEST_PAUSE = 30.0  # up to so many
_STEADY = 60.0  # seconds after which a worker's earlier deaths are forgotten
_MISTAKE = 2  # exit code of a worker that said what the user has to mend
_LAST_PORT = 65_535
_GRACE = 10.0  # seconds a worker has to end


def serve(
    store_address: Path | str,
    blinded: Path,
    journal: Path,
    port: int = 8501,
    host: str = "127.0.0.1",
    workers: int = 1,
) -> None:
    """Serve the study from `workers` processes on `port`, `port` + 1, ... until Ctrl-C or SIGTERM.

    Each prints its address; one that dies is started again, after a pause that grows from half a
    second to half a minute. Returns when all have ended. Raises EvalkitError where an address
    cannot be had or a worker cannot begin (it has said why).
    """
    if port + workers - 1 > _LAST_PORT:
        raise EvalkitError(
            f"serve: --port {port} --workers {workers} needs ports up to {port + workers - 1}; "
            f"allowed are ports up to {_LAST_PORT}; choose a lower --port"
        )
    for number in range(workers):
        listen(host, port + number).close()
    places = ["--blinded", str(blinded.absolute()), "--journal", str(journal.absolute())]
    address = store_address.absolute() if isinstance(store_address, Path) else store_address
    crew = [
        _Worker(str(address), [*places, "--host", host, "--port", str(port + number)])
        for number in range(workers)
    ]
    with _told_to_stop() as stopping:
        try:
            while not stopping:
                for worker in crew:
                    worker.keep_running()
                time.sleep(0.1)
        finally:
            _end(crew)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; EvalkitError where that cannot be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.create_server((host, port), family=found[0][0], backlog=2048)
        # What it accepts inherits this; without it every answer waits 40 ms for a receipt.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise EvalkitError(
            f"serve: {host}:{port} cannot be listened on ({error.strerror}); stop what uses it or "
            "choose another with --port"
        ) from None


@dataclass
class _Worker:
    """One process, and when it may be started (again)."""

    store_address: str
    arguments: list[str]
    process: subprocess.Popen | None = None
    started: float = 0.0
    pause: float = _PAUSE
    due: float = 0.0
    died: bool = False

    def keep_running(self) -> None:
        """Start it when it is due; note when it has died. EvalkitError if it cannot begin."""
        if self.process is None:
            if time.monotonic() >= self.due:
                self._start()
            return
        code = self.process.poll()
        if code is None:
            return
        now = time.monotonic()
        if code == _MISTAKE and not self.died:
            raise EvalkitError("serve: the app could not start, for the reason given above")
        if now - self.started > _STEADY:
            self.pause = _PAUSE
        print(f"A worker ended (exit code {code}); it starts again in {self.pause:g} s", flush=True)
        self.process, self.died, self.due = None, True, now + self.pause
        self.pause = min(_LONGEST_PAUSE, 2 * self.pause)

    def _start(self) -> None:
        self.started = time.monotonic()
        # -P: a folder that happens to be the present one holds none of the app's code.
        command = [sys.executable, "-P", "-m", "study_app", *self.arguments]
        self.process = subprocess.Popen(
            [*command, "--parent", str(os.getpid())],
            env={**os.environ, STORE_VARIABLE: self.store_address, "PYTHONPATH": _code_path()},
            stdin=subprocess.DEVNULL,
        )


def _code_path() -> str:
    """Where the workers find this code, however this process found it."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(path for path in paths if path)


@contextmanager
def _told_to_stop() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C or SIGTERM."""
    told: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(crew: list[_Worker]) -> None:
    running = [worker.process for worker in crew if worker.process is not None]
    for process in running:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _GRACE
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
