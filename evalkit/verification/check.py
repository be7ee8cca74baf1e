"""One check of a study: what was found, and what a wrong thing is mended by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from evalkit.errors import EvalkitError
from evalkit.study_folder import StudyFolder

_FROM_A_COPY = "put back what was changed from a copy"


@dataclass(frozen=True)
class Check:
    """One thing that was held against the lock: what was found, in one line.

    `remedy` is what to do where it failed, else empty.
    """

    name: str
    state: Literal["ok", "FAILED", "not yet"]
    found: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """As it stands on the terminal."""
        return f"{self.state:<7}  {self.name}: {self.found}"


class WrongError(EvalkitError):
    """What a check found that must not be; `again` is a command that makes it anew, if any."""

    def __init__(self, found: str, again: str = "") -> None:
        super().__init__(found)
        self.again = again


class NotYetError(EvalkitError):
    """What a check needs and is not there yet."""


def checked(name: str, check: Callable[[StudyFolder], str], folder: StudyFolder) -> Check:
    """The check of that name, as it turned out for this study."""
    try:
        return Check(name, "ok", check(folder))
    except NotYetError as error:
        return Check(name, "not yet", str(error))
    except WrongError as error:
        anew = f", or make it anew with: {error.again}" if error.again else ""
        return Check(name, "FAILED", str(error), _FROM_A_COPY + anew)
    except EvalkitError as error:  # a file that cannot be read is a finding too
        return Check(name, "FAILED", str(error), _FROM_A_COPY)
    except OSError as error:
        return Check(name, "FAILED", f"{error.filename}: {error.strerror}", _FROM_A_COPY)


def require_whole(checks: Iterable[Check], what: str) -> None:
    """EvalkitError with the first check that failed."""
    failed = [check for check in checks if check.state == "FAILED"]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise EvalkitError(f"{what}: {failed[0].name}: {failed[0].found}{more}; {failed[0].remedy}")
