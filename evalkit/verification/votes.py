"""Checks of the vote database: it is the study's, agrees with itself, and lost nothing."""

from contextlib import closing

from evalkit.lock import open_votes, require_same_study
from evalkit.monitoring import reception
from evalkit.store import described, store_exists
from evalkit.store.soundness import unsoundness
from evalkit.study_folder import StudyFolder
from evalkit.verification.check import NotYetError, WrongError


def require_database(folder: StudyFolder) -> None:
    """WrongError where the votes of a locked study are gone, NotYetError before its lock."""
    if store_exists(folder.store_address):
        return
    if folder.lock_file.is_file():
        raise WrongError(f"{described(folder.store_address)} with the votes is not there")
    raise NotYetError("no vote database yet")


def vote_database(folder: StudyFolder) -> str:
    """The database belongs to the study, and its votes are as they were counted."""
    require_database(folder)
    with closing(open_votes(folder)) as store:
        require_same_study(folder, store)
        given = len(store.votes())
    wrong = unsoundness(folder.store_address)
    if wrong:
        raise WrongError(wrong)
    return f"belongs to the study; {given:,} votes, as they were counted when they came"


def received(folder: StudyFolder, now: str) -> str:
    """The votes that are kept are those that arrived."""
    require_database(folder)
    with closing(open_votes(folder)) as store:
        got = reception(store, folder.received, now)
    if got.alarm:
        raise WrongError(got.alarm.rstrip("."))
    simulated = f", {got.simulated:,} simulated" if got.simulated else ""
    return (
        f"{got.received:,} arrived, {got.kept:,} are kept, {got.withdrawn:,} withdrawn{simulated}"
    )
