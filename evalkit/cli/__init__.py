"""The command line: each command parses, makes one call and says what came of it."""

import os
import sys

from evalkit.cli.app import app
from evalkit.errors import EvalkitError

# Each adds its commands to the app; `evalkit --help` lists them in this order.
from evalkit.cli import (  # isort: skip
    study, images, plan, check, session, coordinator, simulate, store, score, results, demo,
)  # fmt: skip

# Libraries are imported inside the commands: `evalkit --help` must answer at once.

__all__ = [
    "app",
    "check",
    "coordinator",
    "demo",
    "images",
    "main",
    "plan",
    "results",
    "score",
    "session",
    "simulate",
    "store",
    "study",
]


def main() -> None:
    """Run a command; a user's mistake is one sentence on stderr and exit code 2."""
    # OpenMP threads that spin while they wait make a machine with other work several times slower.
    # Those that never spin make an idle one 1.4 times slower: so they spin for a moment.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    try:
        app()
    except EvalkitError as error:
        print(f"evalkit: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(
            f"evalkit: {error.filename}: {error.strerror}; check the path, its permissions and the "
            "space on the disk",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
