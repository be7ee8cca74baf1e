"""Parts of the app by themselves: token buckets, the journal of received votes."""

import json
import os
import socket

import pytest

from study_app.journal import Journal
from study_app.rates import Buckets, Rate


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_a_bucket_lets_a_burst_pass_and_then_its_rate():
    clock = Clock()
    buckets = Buckets(Rate(burst=3, per_second=0.5), clock)
    assert [buckets.wait("ann") for _ in range(4)] == [0, 0, 0, 2]  # one more in 1 / 0.5 s
    assert buckets.wait("bob") == 0
    clock.now += 1.5
    assert buckets.wait("ann") == 1  # three quarters of one are there
    clock.now += 0.5
    assert [buckets.wait("ann"), buckets.wait("ann")] == [0, 2]
    clock.now += 3600
    assert [buckets.wait("ann") for _ in range(4)] == [0, 0, 0, 2]  # never more than the burst


def test_refused_requests_cost_nothing():
    clock = Clock()
    buckets = Buckets(Rate(burst=1, per_second=1), clock)
    assert [buckets.wait("ann") for _ in range(50)] == [0] + [1] * 49
    clock.now += 1
    assert buckets.wait("ann") == 0


def test_the_journal_has_a_line_per_received_vote(tmp_path):
    journal = Journal(tmp_path / "received")
    journal.received("t1", 1, "2030-01-01T10:00:00.000+00:00")
    journal.received("t1", 2, "2030-01-01T10:00:01.000+00:00")
    assert journal.path.name == f"{socket.gethostname()}-{os.getpid()}.jsonl"
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert lines == [
        {"trial_id": "t1", "revision": 1, "at": "2030-01-01T10:00:00.000+00:00"},
        {"trial_id": "t1", "revision": 2, "at": "2030-01-01T10:00:01.000+00:00"},
    ]


def test_two_hosts_with_one_process_id_share_no_journal(tmp_path, monkeypatch):
    paths = set()
    for host in ("worker-a", "worker-b"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        paths.add(Journal(tmp_path).path)
    assert {path.name for path in paths} == {f"worker-{x}-{os.getpid()}.jsonl" for x in "ab"}


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path):
    journal = Journal(tmp_path)
    journal.path.write_bytes(b'{"trial_id": "t0", "rev')  # an earlier process of this id
    journal.received("t1", 1, "now")
    journal.received("t2", 1, "now")
    lines = journal.path.read_text().splitlines()
    assert lines[0] == '{"trial_id": "t0", "rev'
    assert [json.loads(line)["trial_id"] for line in lines[1:]] == ["t1", "t2"]


def test_a_full_disk_is_an_oserror_and_the_next_line_is_whole(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.received("t1", 1, "now")
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:7]))
    with pytest.raises(OSError, match="no room"):
        journal.received("t2", 1, "now")
    monkeypatch.setattr(os, "write", write)
    journal.received("t3", 1, "now")
    lines = journal.path.read_text().splitlines()
    assert [json.loads(lines[0])["trial_id"], json.loads(lines[2])["trial_id"]] == ["t1", "t3"]
    assert len(lines) == 3


def test_a_journal_that_cannot_be_written_is_an_oserror(tmp_path):
    (tmp_path / "received").write_text("a file where the folder should be")
    with pytest.raises(OSError):
        Journal(tmp_path / "received").received("t1", 1, "now")
