"""Votes as they were received: one line each, written before the vote is committed."""

import json
import os
import socket
import threading
from pathlib import Path


class Journal:
    """Appends to `folder/<host>-<process id>.jsonl`: neither what was chosen nor by whom.

    Containers that share the folder may have one process id, and hosts of different names. A
    coordinator compares its lines with the votes that were kept. A line that a full disk cut short
    is followed by a new line, so that only the cut one is lost.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        self._lock = threading.Lock()
        self._whole = False  # whether the file surely ends with a whole line

    def received(self, trial_id: str, revision: int, now: str) -> None:
        """Write that this vote arrived; OSError where it cannot be written."""
        self._write({"trial_id": trial_id, "revision": revision, "at": now})

    def refused(self, trial_id: str, revision: int, now: str) -> None:
        """Write that this vote, which arrived, may not be kept, so that nobody misses it."""
        self._write({"trial_id": trial_id, "revision": revision, "at": now, "refused": True})

    def _write(self, row: dict[str, str | int | bool]) -> None:
        with self._lock:
            self._append((json.dumps(row) + "\n").encode())

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if not self._whole and os.fstat(file).st_size:
                line = b"\n" + line
            self._whole = False
            if os.write(file, line) != len(line):
                raise OSError(f"{self.path}: no room for a line")
            self._whole = True
        finally:
            os.close(file)
