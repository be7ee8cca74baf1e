"""People who vote as they do through the server: a line in the journal, then the database."""

from datetime import datetime, timedelta
from pathlib import Path

from evalkit.store import Store, Trial
from study_app.journal import Journal
from tests.study_factory import NOW, admit


def after(minutes: float, since: str = NOW) -> str:
    """The time so many minutes after NOW."""
    later = datetime.fromisoformat(since) + timedelta(minutes=minutes)
    return later.isoformat(timespec="milliseconds")


class Person:
    """Someone invited who has consented and votes; `at` is their clock."""

    def __init__(self, store: Store, received: Path, annotator_id: str, at: str = NOW) -> None:
        self.store, self.journal = store, Journal(received)
        self.annotator_id, self.at = annotator_id, at
        self.session_id = admit(store, annotator_id)
        self.answered: list[Trial] = []

    def next_trial(self) -> Trial | None:
        """The trial now on their screen."""
        return self.store.next_trial(
            self.annotator_id, self.session_id, f"{self.annotator_id}-{len(self.answered):03d}",
            self.at, seed=len(self.answered),
        )  # fmt: skip

    def vote(self, n: int = 1, choice: str | None = None, ms: int = 2000) -> None:
        """Answer the next `n` trials, or as many as there are: image a, or always `choice`."""
        for _ in range(n):
            trial = self.next_trial()
            if trial is None:
                return
            self.at = after(ms / 60_000, self.at)
            chosen = choice or ("left" if trial.left == "a" else "right")
            self.send(trial.trial_id, chosen, ms)
            self.answered.append(trial)

    def send(self, trial_id: str, choice: str, ms: int = 2000, revision: int = 1) -> None:
        """A vote as it arrives: journal first."""
        self.journal.received(trial_id, revision, self.at)
        self.store.record_vote(
            trial_id, self.annotator_id, choice, ms, self.at, revision, session_id=self.session_id
        )
