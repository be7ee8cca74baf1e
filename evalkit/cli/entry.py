"""main: runs a command, and says in one sentence what a person can mend; exit codes."""

import os
import sys
from typing import NoReturn

import typer

from evalkit.cli.app import app
from evalkit.errors import EvalkitError

MISTAKE = 2  # of the user's; 0 is done, 1 a bug of ours
STOPPED = 130  # by Ctrl-C: 128 + SIGINT, as shells have it

# What the option parser refuses; of click, or of the copy of it that newer Typers bring along.
_UsageError = typer.BadParameter.__base__

_KEPT = "what is done is kept; run the same command again to go on"
_WHOLE = "no file is left half written; run the same command again"
_GOES_ON = {
    "generate": _KEPT,
    "simulate": _KEPT,
    "demo": _KEPT,
    "dashboard": "the study goes on",
    "status": "the study goes on",
}


def main() -> None:
    """Run a command; a user's mistake is one sentence on stderr and exit code 2.

    A bug of ours keeps its traceback, with a line that says so, and gives 1; Ctrl-C gives 130.
    """
    # OpenMP threads that spin while they wait make a machine with other work several times slower.
    # Those that never spin make an idle one 1.4 times slower: so they spin for a moment.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    try:
        code = app(prog_name="evalkit", standalone_mode=False)
    except EvalkitError as error:
        _refuse(f"evalkit: {error}")
    except _UsageError as error:
        _refuse_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    except OSError as error:
        if error.filename is None:
            raise _told(error) from None
        _refuse(
            f"evalkit: {error.filename}: {error.strerror}; check the path, its permissions and the "
            "space on the disk"
        )
    except Exception as error:
        raise _told(error) from None
    if code == STOPPED:  # the parser turns Ctrl-C into its code
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        _refuse(f"evalkit: stopped; {_GOES_ON.get(command, _WHOLE)}", STOPPED)
    sys.exit(code or 0)


def _refuse(sentence: str, code: int = MISTAKE) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(code)


def _refuse_usage(error: typer.BadParameter) -> NoReturn:
    """One sentence for what the parser could not read; the help for a command without arguments."""
    command = error.ctx.command_path if error.ctx else "evalkit"
    said = " ".join(error.format_message().split()).rstrip(".")
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(MISTAKE)
    _refuse(f"{command}: {said[:1].lower()}{said[1:]}; see: {command} --help")


def _told(error: Exception) -> Exception:
    """The same error with a line below its traceback for whoever meets it."""
    error.add_note(
        "evalkit: this is a bug of evalkit, not a mistake of yours; report it with the lines above"
    )
    return error
