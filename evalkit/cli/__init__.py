"""The command line: each command parses, makes one call and says what came of it."""

from evalkit.cli.app import app
from evalkit.cli.entry import main

# Each adds its commands to the app; `evalkit --help` lists them in this order.
from evalkit.cli import (  # isort: skip
    study, images, plan, check, session, coordinator, simulate, store, score, results, screen,
    export, verify, archive, doctor, demo,
)  # fmt: skip

# Libraries are imported inside the commands: `evalkit --help` must answer at once.

__all__ = [
    "app",
    "archive",
    "check",
    "coordinator",
    "demo",
    "doctor",
    "export",
    "images",
    "main",
    "plan",
    "results",
    "score",
    "screen",
    "session",
    "simulate",
    "store",
    "study",
    "verify",
]
