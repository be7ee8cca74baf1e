"""A disk that refuses (full, read-only, not a folder) is one sentence, not a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from evalkit.errors import StudyError
from evalkit.study_folder import StudyFolder


@contextmanager
def usable(folder: StudyFolder) -> Iterator[None]:
    """Read and write in the study folder; StudyError where that fails."""
    try:
        yield
    except OSError as error:
        raise StudyError(
            f"{error.filename or folder.root}: cannot be read or written "
            f"({error.strerror or error}); what is made is kept; mend it and run again: "
            f"evalkit generate {folder.root}"
        ) from error
