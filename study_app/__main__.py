"""`python -m study_app`: one worker, which can open nothing of the study that names a model."""

import argparse
import os
import sys
from pathlib import Path

from evalkit.errors import EvalkitError
from study_app.guard import guard
from study_app.worker import end_with, run_worker
from study_app.workers import STORE_VARIABLE


def main() -> None:
    """Parse, close the study folder, serve; the user's mistakes are one sentence, exit code 2."""
    given = _arguments()
    is_file = not given.store.startswith("postgresql://")
    store = Path(given.store).absolute() if is_file else given.store
    blinded, journal = given.blinded.absolute(), given.journal.absolute()
    os.chdir(os.sep)  # Streamlit looks for settings of its own in the present folder
    guard(blinded.parent, [blinded, journal, *([store] if is_file else [])])
    if given.parent is not None:
        end_with(given.parent)
    try:
        run_worker(store, blinded, journal, given.port, given.host)
    except EvalkitError as error:
        print(f"evalkit: {error}", file=sys.stderr)
        sys.exit(2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m study_app", description=__doc__)
    store = os.environ.get(STORE_VARIABLE)
    parser.add_argument(
        "--store",
        default=store,
        required=store is None,
        help=f"file or postgresql:// address of the votes; else the variable {STORE_VARIABLE}",
    )
    parser.add_argument("--blinded", type=Path, required=True, help="folder of public images")
    parser.add_argument("--journal", type=Path, required=True, help="folder for received votes")
    parser.add_argument("--port", type=int, default=8501, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--parent", type=int, help="end when this process has ended")
    return parser.parse_args()


if __name__ == "__main__":
    main()
