"""What the vote database answers where it cannot, or may not, do what was asked."""

from evalkit.errors import StoreError


class StoreUnavailableError(StoreError):
    """The database cannot answer now (locked, disk full, gone); the same call may succeed later."""


class AnnotatorBlockedError(StoreError):
    """The coordinator has blocked the annotator."""


class StudyPausedError(StoreError):
    """The coordinator has paused the study."""


class StudyFullError(StoreError):
    """No place is free for one more annotator."""
