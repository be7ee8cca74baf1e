"""evalkit serve as a process: its workers, their deaths, its mistakes in one sentence."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from evalkit.collection import open_collection
from evalkit.errors import EvalkitError
from study_app.workers import listen, serve
from tests.study_factory import NOW, make_study
from tests.study_server import ROOT, free_port

_SERVE = """
import sys
from pathlib import Path
from study_app.workers import serve
root = Path(sys.argv[1])
serve(root / "votes.sqlite", root / "blinded", root / "received", int(sys.argv[2]), workers=2)
print("all ended", flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = make_study(tmp_path_factory.mktemp("workers") / "study")
    open_collection(folder, NOW).close()
    return folder


@contextmanager
def serving(folder):
    """A process that serves on two neighbouring ports, and the ports."""
    port = neighbours()
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(folder.root), str(port)],
        cwd=folder.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = sorted(process.stdout.readline() for _ in range(2))
    where = "Annotators vote at http://localhost:{} (stop with Ctrl-C)\n"
    assert lines == sorted([where.format(port), where.format(port + 1)])
    yield process, (port, port + 1)
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def crew(folder):
    with serving(folder) as crew:
        yield crew


def neighbours():
    """A port that is free, and so is the next one."""
    while True:
        port = free_port()
        try:
            listen("127.0.0.1", port + 1).close()
        except EvalkitError:
            continue
        return port


def children(process):
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in tasks.read_text().split()]


def is_healthy(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_workers_serve_and_end_together(folder, number):
    with serving(folder) as (process, ports):
        assert all(map(is_healthy, ports))
        assert len(children(process)) == 2
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == "all ended\n"
        assert not any(map(is_healthy, ports))


def test_a_worker_that_dies_is_started_again(crew):
    process, ports = crew
    before = set(children(process))
    os.kill(min(before), signal.SIGKILL)
    assert "A worker ended (exit code -9); it starts again in 0.5 s" in process.stdout.readline()
    assert "Annotators vote at" in process.stdout.readline()
    until(lambda: all(map(is_healthy, ports)))
    assert len(set(children(process)) & before) == 1


def test_workers_end_when_the_one_that_started_them_is_killed(folder):
    with serving(folder) as (process, ports):
        assert all(map(is_healthy, ports))
        process.kill()
        process.wait()
        until(lambda: not any(map(is_healthy, ports)))


def test_the_address_of_a_server_stands_in_no_command_line(crew, folder):
    """It may hold a password, and everybody on a machine can see the arguments of a process."""
    for pid in children(crew[0]):
        assert "votes.sqlite" not in Path(f"/proc/{pid}/cmdline").read_text()


def test_a_taken_port_is_said_in_one_sentence(folder, crew):
    port = crew[1][1]
    with pytest.raises(EvalkitError, match=f"127.0.0.1:{port} cannot be listened on"):
        serve(folder.store_address, folder.blinded, folder.received, port=port)


def test_ports_that_do_not_exist_are_said_in_one_sentence(folder):
    with pytest.raises(EvalkitError, match="needs ports up to 65536; allowed are ports up to"):
        serve(folder.store_address, folder.blinded, folder.received, port=65_535, workers=2)


def test_what_keeps_a_worker_from_beginning_ends_all_with_one_sentence(folder):
    command = [sys.executable, "-c", _SERVE.replace("votes.sqlite", "none.sqlite")]
    done = subprocess.run(
        [*command, str(folder.root), str(neighbours())],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "none.sqlite: no vote database; start the study with" in done.stderr
    assert "EvalkitError: serve: the app could not start, for the reason given above" in done.stderr


def test_evalkit_serve_says_a_mistake_in_one_sentence(folder, crew):
    options = ["--port", str(crew[1][0]), "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "serve", str(folder.root), *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("evalkit: serve: 127.0.0.1:")


def test_small_answers_do_not_wait_for_the_receipt_of_the_last_one():
    listener = listen("127.0.0.1", 0)
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
