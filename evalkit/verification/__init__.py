"""verify: images, prompts, study, votes, analysis and report, each held against the lock."""

from collections.abc import Callable
from functools import partial

from evalkit.study_folder import StudyFolder
from evalkit.verification import locked, results, votes
from evalkit.verification.check import Check, checked, require_whole

__all__ = ["Check", "require_whole", "verify"]


def verify(folder: StudyFolder, now: str) -> list[Check]:
    """Every check of a study, in the order in which one thing follows from another.

    A thing that is not there yet is said, and no failure. `now` is for votes that are on their way.
    """
    checks: list[tuple[str, Callable[[StudyFolder], str]]] = [
        ("lock", locked.lock),
        ("study", locked.study),
        ("prompts", locked.prompts),
        ("image table", locked.image_table),
        ("image files", locked.image_files),
        ("public images", locked.public_images),
        ("vote database", votes.vote_database),
        ("received votes", partial(votes.received, now=now)),
        ("analysis", results.analysis),
        ("report", results.report),
    ]
    return [checked(name, check, folder) for name, check in checks]
