"""What a process keeps of an annotator's trials is what the database says, whoever wrote it."""

import pytest

from evalkit.errors import StoreError
from evalkit.store import StudyPausedError, seen
from evalkit.store.seen import Seen, SeenReader
from tests.stores import lease
from tests.study_factory import NOW, admit

LATER = "2030-01-01T10:00:05.000+00:00"


class Reader(SeenReader):
    """A reader that compares each answer with one who has read nothing before."""

    def __init__(self, store):
        super().__init__()
        self._store = store

    def seen(self, annotator_id: str = "ann") -> Seen:
        with self._store._reading() as connection:
            kept = self.read(connection, annotator_id)
            anew = SeenReader().read(connection, annotator_id)
        for what in ("showings", "voted", "waiting", "last_vote_at"):
            assert getattr(kept, what) == getattr(anew, what), what
        return kept


@pytest.fixture
def reader(store):
    admit(store, "ann")
    return Reader(store)


def vote(store, trial, now=NOW):
    store.record_vote(trial.trial_id, trial.annotator_id, "left", 900, now)


def test_nobody_has_seen_anything_at_first(reader):
    assert reader.seen() == Seen()
    assert reader.seen("nobody").showings == []
    assert reader.seen().last_vote_at is None


def test_of_what_is_answered_only_the_last_trial_is_read_again(store, reader, monkeypatch):
    """Each time: the last answered one, which says that what is known still holds, and the new."""
    read, rows_from = [], seen._rows_from

    def counted(*given):
        rows = rows_from(*given)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(seen, "_rows_from", counted)
    counts = []
    for number in range(5):
        [trial] = lease(store, "ann", f"{number}-", n=1)
        vote(store, trial)
        read.clear()
        with store._reading() as connection:
            reader.read(connection, "ann")
        counts.append(list(read))
    assert counts == [[1], [2], [2], [2], [2]]


def test_another_process_answers_in_between(store, reader, database):
    other = database.open()
    for number in range(4):
        trials = lease(other, "ann", f"{number}-", n=3)
        assert [row.trial_id for row in reader.seen().waiting] == [t.trial_id for t in trials]
        vote(other, trials[number % 2])  # the second one is answered before the first
        assert len(reader.seen().voted) == number + 1


def test_a_trial_given_back_and_answered_late_is_seen_as_answered(store, reader, database):
    first, second, third = lease(store, "ann", "t")
    vote(store, first)
    database.execute("UPDATE trials SET state = 'returned' WHERE trial_id = 't1'")
    vote(store, third)
    assert [s.kind == "returned" for s in reader.seen().showings] == [False, True, False]
    vote(store, second, now=LATER)
    assert reader.seen().voted == {0, 1, 2}
    assert reader.seen().last_vote_at == LATER


def test_a_vote_that_was_taken_back_is_not_seen(store, reader):
    """A refusal after the vote ends the transaction; the reader had seen the vote within it."""
    first, second, _ = lease(store, "ann", "t")
    vote(store, first)
    reader.seen()
    with pytest.raises(StoreError, match="no longer"), store.together():
        vote(store, second)
        assert reader.seen().voted == {0, 1}
        raise StoreError("no longer")
    assert reader.seen().voted == {0}


def test_withdrawn_trials_are_forgotten(store, reader):
    for trial in lease(store, "ann", "t"):
        vote(store, trial)
    assert len(reader.seen().showings) == 3
    store.withdraw("ann", LATER)
    assert reader.seen() == Seen()
    assert reader._known["ann"] == Seen()


def test_what_stands_is_read_once_in_a_transaction_of_several_calls(store, reader):
    with store.together():
        store.study()
        standing = store._together.standing
        store.progress("ann")
        assert store._together.standing is standing
    store.pause("lunch", LATER)
    with pytest.raises(StudyPausedError), store.together():
        lease(store, "ann", "t")
