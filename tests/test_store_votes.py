"""Votes: once each, committed before they are acknowledged, corrected by new rows, taken back."""

import json
import sqlite3

import psycopg
import pytest

from evalkit.errors import StoreError
from evalkit.store import AnnotatorBlockedError, StudyPausedError, open_store
from tests.stores import lease, tallies_hold, vote_on_all
from tests.study_factory import NOW, admit

LATER = "2030-01-01T10:00:05.000+00:00"
LAST = "2030-01-01T10:00:10.000+00:00"


@pytest.fixture
def trial(store):
    admit(store, "ann")
    return lease(store, "ann", "t")[0]


def test_the_first_vote_wins(store, trial):
    first = store.record_vote("t0", "ann", "left", 900, LATER, session_id="session-of-ann")
    assert (first.choice, first.response_ms, first.created_at) == ("left", 900, LATER)
    assert store.record_vote("t0", "ann", "right", 950, LAST) == first
    assert store.vote("t0") == first
    assert store.vote("t1") is None
    assert store.votes()[["trial_id", "choice"]].values.tolist() == [["t0", "left"]]


def test_a_vote_that_cannot_be_is_refused_and_leaves_nothing(store, trial, database):
    admit(store, "eve")
    assert trial.question_id == "quality"
    for given, said in [
        (("t9", "ann", "left", 900), "not a trial of annotator ann"),
        (("t0", "eve", "left", 900), "not a trial of annotator eve"),
        (("t0", "ann", "middle", 900), 'choice "middle"; .*left, right, tie, both_bad'),
        (("t0", "ann", "left", -1), "at least 0"),
    ]:
        with pytest.raises(StoreError, match=said):
            store.record_vote(*given, LATER)
    for more, said in [
        ({"revision": 2}, "the next one is 1"),
        ({"revision": 0}, "the next one is 1"),
        ({"session_id": "session-of-eve"}, "no session session-of-eve of annotator ann"),
    ]:
        with pytest.raises(StoreError, match=said):
            store.record_vote("t0", "ann", "left", 900, LATER, **more)
    assert store.votes().empty
    assert not store.has_votes()
    assert tallies_hold(database)


def test_a_choice_must_be_offered_by_the_trial_s_own_question(store):
    admit(store, "ann")
    for number in range(12):
        [trial] = lease(store, "ann", f"{number}-", n=1)
        if trial.question_id == "alignment":
            break
        store.record_vote(trial.trial_id, "ann", "both_bad", 800, NOW)
    with pytest.raises(StoreError, match=r'"both_bad"; the question offers left, right, tie$'):
        store.record_vote(trial.trial_id, "ann", "both_bad", 800, NOW)


def test_what_no_database_can_hold_is_refused(store, trial):
    """A NUL character: PostgreSQL has no place for it; SQLite takes it as it is."""
    try:
        store.record_vote("t0", "ann", "left", 900, LATER, reason="a\0b")
    except StoreError as error:
        assert "cannot hold what was given" in str(error)
        assert store.votes().empty
    else:
        assert store.vote("t0").reason == "a\0b"


def test_the_time_of_the_last_answer_is_known_and_no_correction_moves_it(store, trial):
    assert store.last_vote_at("ann") is None
    store.record_vote("t0", "ann", "left", 900, NOW)
    store.record_vote("t0", "ann", "tie", 900, LATER, revision=2)
    assert store.last_vote_at("ann") == NOW
    store.record_vote("t1", "ann", "left", 900, LAST)
    assert store.last_vote_at("ann") == LAST
    assert store.last_vote_at("nobody") is None


# ---- corrections


def test_a_correction_is_a_new_row_and_the_vote_as_it_stands(store, trial, database):
    store.record_vote("t0", "ann", "left", 900, NOW, reason="sharper")
    store.record_vote("t0", "ann", "right", 700, LATER, revision=2, session_id="session-of-ann")
    third = store.record_vote("t0", "ann", "tie", 500, LAST, revision=3, reason="on reflection")
    assert store.vote("t0") == third
    assert (third.choice, third.revision, third.reason) == ("tie", 3, "on reflection")
    rows = database.execute(
        "SELECT revision, corrects, choice, response_ms, reason, session_id, created_at FROM votes"
        " ORDER BY revision"
    )
    assert rows == [
        (1, None, "left", 900, "sharper", None, NOW),
        (2, 1, "right", 700, "", "session-of-ann", LATER),
        (3, 2, "tie", 500, "on reflection", None, LAST),
    ]
    assert store.votes()[["trial_id", "choice"]].values.tolist() == [["t0", "tie"]]
    assert store.vote_keys()[["trial_id", "revision", "simulated"]].values.tolist() == [
        ["t0", n, False] for n in (1, 2, 3)
    ]
    assert store.annotators()["n_votes"].tolist() == [1]
    assert store.progress("ann").done == 1
    sides = database.execute("SELECT sum(a), sum(b), sum(ties) FROM matchup_tallies")
    assert [tuple(map(int, row)) for row in sides] == [(0, 0, 1)]
    assert tallies_hold(database)


def test_every_revision_can_be_sent_again(store, trial):
    first = store.record_vote("t0", "ann", "left", 900, NOW)
    second = store.record_vote("t0", "ann", "right", 700, LATER, revision=2)
    assert store.record_vote("t0", "ann", "tie", 1, LAST) == first
    assert store.record_vote("t0", "ann", "tie", 1, LAST, revision=2) == second
    with pytest.raises(StoreError, match="revision 4; the next one is 3"):
        store.record_vote("t0", "ann", "tie", 1, LAST, revision=4)


def test_only_the_last_answered_trial_can_be_corrected(store, trial):
    store.record_vote("t1", "ann", "left", 900, NOW)  # answered before the one left of it
    store.record_vote("t0", "ann", "left", 900, LATER)
    with pytest.raises(StoreError, match="t1: is not the last one that was answered"):
        store.record_vote("t1", "ann", "right", 900, LAST, revision=2)
    assert store.record_vote("t0", "ann", "right", 900, LAST, revision=2).revision == 2
    admit(store, "eve")
    [other] = lease(store, "eve", "e", n=1)
    store.record_vote(other.trial_id, "eve", "left", 900, LAST)  # others do not count
    assert store.record_vote("t0", "ann", "tie", 900, LAST, revision=3).revision == 3


def test_one_trial_cannot_hold_two_first_votes(store, trial, database):
    store.record_vote("t0", "ann", "left", 900, NOW)
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.UniqueViolation)):
        database.execute(
            "INSERT INTO votes (trial_id, revision, choice, response_ms, reason, created_at)"
            f" VALUES ('t0', 1, 'tie', 1500, '', '{LATER}')"
        )


# ---- withdrawal


def test_withdrawal_deletes_the_votes_and_frees_the_pairs(store, database):
    admit(store, "ann")
    admit(store, "eve")
    store.log_in("ann", "cookie", NOW)
    store.start_session("tab-2", "ann", NOW, 1280, 720, 1.5, 1920, 1080)
    store.note(NOW, "annotator", "narrow", "800x600", "ann")
    kept = vote_on_all(store, "eve")
    before = store.pair_votes()
    for number in range(3):
        [trial] = lease(store, "ann", f"{number}-", n=1)
        store.record_vote(trial.trial_id, "ann", "left", 900, NOW)
    store.record_vote(trial.trial_id, "ann", "right", 900, LATER, revision=2)
    lease(store, "ann", "open")
    assert store.withdraw("ann", LATER) == 3
    assert store.withdraw("ann", LAST) == 0
    assert store.withdrawn_votes() == 4  # with the correction: every row that was there
    assert set(store.votes()["trial_id"]) == set(kept) == set(store.trials()["trial_id"])
    assert store.pair_votes().equals(before)
    assert tallies_hold(database)
    assert store.logged_in("cookie") is None
    ann = store.annotator("token-of-ann")
    assert (ann.withdrawn_at, ann.external_id) == (LATER, None)
    window = store.sessions().set_index("session_id").loc["tab-2", "viewport_width":]
    assert window.isna().all()
    log = store.log()[["actor", "annotator_id", "event", "detail"]].values.tolist()
    assert log[0] == ["annotator", "ann", "narrow", ""]
    assert log[1][:3] == ["annotator", "ann", "withdraw"]
    assert json.loads(log[1][3]) == {"votes": 3, "corrections": 1}
    with pytest.raises(StoreError, match="has withdrawn their consent"):
        lease(store, "ann", "again")
    with pytest.raises(StoreError, match="not a trial of annotator ann"):
        store.record_vote(trial.trial_id, "ann", "left", 900, LAST)


def test_the_side_votes_of_a_withdrawn_annotator_go_too(store, database):
    admit(store, "ann")
    vote_on_all(store, "ann")
    assert database.execute("SELECT count(*) FROM matchup_tallies WHERE a + b + ties > 0") != [(0,)]
    store.withdraw("ann", LATER)
    assert database.execute("SELECT count(*) FROM matchup_tallies WHERE a + b + ties > 0") == [(0,)]
    assert not store.has_votes()


def test_withdrawn_words_are_not_left_in_the_file(sqlite):
    store = sqlite.create()
    admit(store, "ann")
    [trial] = lease(store, "ann", "t", n=1)
    store.record_vote(trial.trial_id, "ann", "left", 900, NOW, reason="words of mine")
    store.close()
    assert b"words of mine" in sqlite.address.read_bytes()
    again = open_store(sqlite.address)
    again.withdraw("ann", LATER)
    again.close()
    assert b"words of mine" not in sqlite.address.read_bytes()


# ---- block, pause, log


def test_who_is_blocked_gets_no_trial_and_no_vote_until_unblocked(store, trial):
    first = store.record_vote("t0", "ann", "left", 900, NOW)
    store.block("ann", "3 of 4 checks missed", LATER)
    ann = store.annotators().iloc[0]
    assert (ann["blocked_at"], ann["blocked_reason"]) == (LATER, "3 of 4 checks missed")
    for refused in (
        lambda: lease(store, "ann", "u"),
        lambda: store.record_vote("t1", "ann", "left", 900, LATER),
    ):
        with pytest.raises(AnnotatorBlockedError, match="ann: is blocked"):
            refused()
    assert store.record_vote("t0", "ann", "left", 900, LATER) == first  # was acknowledged before
    store.unblock("ann", LAST)
    store.unblock("ann", LAST)
    assert store.annotator("token-of-ann").blocked_at is None
    assert [t.trial_id for t in lease(store, "ann", "u")] == ["t1", "t2", "u0"]
    assert store.log()[["event", "detail", "at"]].values.tolist() == [
        ["block", "3 of 4 checks missed", LATER],
        ["unblock", "", LAST],
    ]


def test_a_pause_gives_no_trials_and_still_takes_votes(store, trial, database):
    other = database.open()
    assert store.paused() is None
    store.pause("the server moves", LATER)
    assert other.paused() == {"at": LATER, "reason": "the server moves"}
    with pytest.raises(StudyPausedError, match="the study is paused"):
        lease(other, "ann", "u")
    assert other.record_vote("t0", "ann", "left", 900, LATER).choice == "left"
    store.resume(LAST)
    store.resume(LAST)
    assert other.paused() is None
    assert len(lease(other, "ann", "u")) == 3
    assert store.log()["event"].tolist() == ["pause", "resume"]


def test_the_log_keeps_its_order(store):
    store.add_annotator("ann", "token", NOW)
    store.note(LATER, "app", "image_failed", "the left one", "ann")
    store.note(NOW, "coordinator", "export")
    log = store.log()
    assert log[["number", "at", "actor", "event", "detail"]].values.tolist() == [
        [1, LATER, "app", "image_failed", "the left one"],
        [2, NOW, "coordinator", "export", ""],
    ]
    assert log["annotator_id"].fillna("").tolist() == ["ann", ""]
