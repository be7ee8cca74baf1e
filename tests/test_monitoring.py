"""The overview of a study: planned, received, kept, withdrawn; the alarm; who stands where."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from evalkit.collection import invite, open_collection
from evalkit.early_looks import PlannedVotes, planned_votes
from evalkit.errors import StoreError
from evalkit.monitoring import (
    annotator_rows,
    overview,
    read_journals,
    reception,
    require_annotator,
    vote_rows,
)
from evalkit.simulate import Population
from evalkit.simulated_sessions import simulate_sessions
from evalkit.store import open_store
from evalkit.study_folder import StudyFolder
from study_app.journal import Journal
from tests.people import Person, after
from tests.study_factory import MODELS, NOW, make_study
from tests.study_server import StudyServer

LATER = after(30)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """6 prompts x 3 pairs of models = 18 pairs, 2 questions, 2 votes each: 72 planned votes."""
    root = tmp_path_factory.mktemp("template") / "study"
    folder = make_study(root, trials_per_annotator=24, practice_trials=1)
    open_collection(folder, NOW).close()
    return root


@pytest.fixture
def folder(template, tmp_path):
    return StudyFolder(shutil.copytree(template, tmp_path / "study"))


@pytest.fixture
def store(folder):
    store = open_store(folder.store_address)
    yield store
    store.close()


@pytest.fixture
def ann(store, folder):
    return Person(store, folder.received, "ann")


def main_votes(*people):
    return sum(trial.kind == "main" for person in people for trial in person.answered)


def change(folder, sql):
    """A change from outside, as of somebody at the file."""
    with closing(sqlite3.connect(folder.store_address)) as connection:
        changed = connection.execute(sql).rowcount
        connection.commit()
    return changed


def test_counts_of_a_study_under_way(store, folder, ann):
    bob = Person(store, folder.received, "bob", after(5))
    ann.vote(10)
    bob.vote(4)
    bob.next_trial()
    now = after(6)
    state = overview(store, folder.received, now)
    assert state.planned == 72
    assert state.given == main_votes(ann, bob)
    assert not state.is_complete
    assert [(q.question_id, q.pairs, q.planned) for q in state.questions] == [
        ("quality", 18, 36),
        ("alignment", 18, 36),
    ]
    assert sum(q.given for q in state.questions) == state.given
    assert state.reception.received == state.reception.kept == 14
    assert state.reception.alarm is None
    assert state.open_leases == 1
    assert state.paused is None


def test_pairs_with_all_their_votes_are_counted_and_more_votes_count_no_more(store, folder):
    people = [Person(store, folder.received, f"p{i}") for i in range(12)]
    for person in people:
        person.vote(99)
    state = overview(store, folder.received, LATER)
    assert state.is_complete
    assert state.given == state.planned == 72
    assert [q.complete_pairs for q in state.questions] == [18, 18]
    assert state.expected_end is None
    assert planned_votes(store).banner == ""
    change(folder, "UPDATE tallies SET voted = 9 WHERE rowid = 1")
    change(folder, "UPDATE tallies SET voted = 1 WHERE rowid = 2")
    state = overview(store, folder.received, LATER)
    assert state.given == 71
    assert sorted(q.complete_pairs for q in state.questions) == [17, 18]
    assert planned_votes(store) == PlannedVotes(given=71, planned=72)


def test_expected_end_follows_from_the_pace(store, folder, ann):
    ann.at = after(-30)
    ann.vote(1)  # practice, which is no planned vote
    assert overview(store, folder.received, NOW).per_hour == 0
    ann.at = after(-30)
    ann.vote(1, ms=0)
    ann.at = after(-10)
    ann.vote(1)
    assert [trial.kind for trial in ann.answered] == ["practice", "main", "main"]
    # 2 votes since the first one, half an hour ago: 4 an hour; 70 are missing: 17.5 hours.
    state = overview(store, folder.received, NOW)
    assert state.per_hour == pytest.approx(4)
    assert state.expected_end == "2030-01-02T03:30+00:00"
    # 45 minutes later the last hour holds one vote: 70 hours.
    state = overview(store, folder.received, after(45))
    assert state.per_hour == pytest.approx(1)
    assert state.expected_end == "2030-01-04T08:45+00:00"
    # Another hour later it holds none: no pace, and no end can be told.
    state = overview(store, folder.received, after(105))
    assert (state.per_hour, state.expected_end) == (0.0, None)


def test_stages(store, folder, ann):
    store.add_annotator("invited", "token", NOW)
    away = Person(store, folder.received, "away")
    away.vote(1)
    gone = Person(store, folder.received, "gone")
    gone.vote(2)
    store.withdraw("gone", NOW)
    bad = Person(store, folder.received, "bad")
    bad.vote(1)
    store.block("bad", "asked twice", NOW)
    done = Person(store, folder.received, "done", after(20))
    done.vote(99)
    assert done.next_trial() is None
    ann.at = after(29)
    ann.vote(1)
    rows = annotator_rows(store, LATER).set_index("annotator_id")
    assert rows["stage"].to_dict() == {
        "ann": "at work",
        "invited": "invited",
        "away": "consented",
        "gone": "withdrawn",
        "bad": "blocked",
        "done": "finished",
    }
    assert overview(store, folder.received, LATER).annotators == {
        "invited": 1,
        "consented": 1,
        "at work": 1,
        "finished": 1,
        "withdrawn": 1,
        "blocked": 1,
    }
    assert rows.loc["bad", "blocked_reason"] == "asked twice"
    assert rows.loc["invited", "n_votes"] == 0
    assert pd.isna(rows.loc["invited", "left_share"])
    store.unblock("bad", LATER)
    assert overview(store, folder.received, LATER).annotators["blocked"] == 0


def test_paused_state(store, folder):
    store.pause("a fire drill", NOW)
    assert overview(store, folder.received, LATER).paused == {"at": NOW, "reason": "a fire drill"}
    store.resume(LATER)
    assert overview(store, folder.received, LATER).paused is None


# ---- received against kept


def test_a_deleted_vote_raises_the_alarm(store, folder, ann):
    ann.vote(6)
    assert reception(store, folder.received, LATER).alarm is None
    assert change(folder, f"DELETE FROM votes WHERE trial_id = '{ann.answered[2].trial_id}'") == 1
    found = reception(store, folder.received, LATER)
    assert (found.received, found.kept, found.lost, found.unreceived) == (6, 5, 1, 0)
    assert "Fewer votes are kept than were received: 1 " in found.alarm
    assert "backup" in found.alarm


def test_an_older_copy_of_the_database_raises_the_alarm(store, folder, ann, tmp_path):
    ann.vote(3)
    old = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(folder.store_address)) as now, closing(sqlite3.connect(old)) as to:
        now.backup(to)
    ann.vote(4)
    assert reception(store, folder.received, LATER).alarm is None
    store.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{folder.store_address}{suffix}").unlink(missing_ok=True)
    shutil.copy(old, folder.store_address)
    restored = open_store(folder.store_address)
    found = reception(restored, folder.received, LATER)
    restored.close()
    assert (found.received, found.kept, found.lost) == (7, 3, 4)
    assert "Fewer votes are kept than were received: 4 " in found.alarm


def test_a_vote_that_never_arrived_raises_the_alarm(store, folder, ann):
    ann.vote(3)
    trial = ann.next_trial()
    store.record_vote(trial.trial_id, "ann", "left", 900, ann.at)
    found = reception(store, folder.received, LATER)
    assert (found.received, found.kept, found.lost, found.unreceived) == (3, 4, 0, 1)
    assert "More votes are kept than were received: 1 " in found.alarm
    assert "received/" in found.alarm


def test_one_lost_and_one_unreceived_do_not_cancel(store, folder, ann):
    ann.vote(2)
    trial = ann.next_trial()
    store.record_vote(trial.trial_id, "ann", "left", 900, ann.at)
    change(folder, f"DELETE FROM votes WHERE trial_id = '{ann.answered[0].trial_id}'")
    found = reception(store, folder.received, LATER)
    assert found.received == found.kept == 2
    assert (found.lost, found.unreceived) == (1, 1)
    assert "Fewer" in found.alarm
    assert "More" in found.alarm


def test_withdrawn_votes_and_their_corrections_are_accounted_for(store, folder, ann):
    bob = Person(store, folder.received, "bob")
    ann.vote(5)
    bob.vote(3)
    bob.send(bob.answered[-1].trial_id, "tie", revision=2)
    before = reception(store, folder.received, LATER)
    assert (before.received, before.kept, before.alarm) == (9, 9, None)
    assert store.withdraw("bob", LATER) == 3
    found = reception(store, folder.received, LATER)
    assert (found.received, found.kept, found.withdrawn, found.alarm) == (9, 5, 4, None)
    # Just after they were given, too: a withdrawn vote is not on its way.
    found = reception(store, folder.received, bob.at)
    assert (found.received, found.kept, found.on_the_way, found.alarm) == (9, 5, 0, None)


def test_a_vote_on_its_way_is_no_alarm_for_a_minute(store, folder, ann):
    ann.vote(1)
    Journal(folder.received).received("elsewhere", 1, after(10))
    found = reception(store, folder.received, after(10.9))
    assert (found.on_the_way, found.lost, found.alarm) == (1, 0, None)
    found = reception(store, folder.received, after(11.1))
    assert (found.on_the_way, found.lost) == (0, 1)


def test_a_refused_vote_is_not_missed_unless_it_came_again(folder):
    journal = Journal(folder.received)
    journal.received("t1", 1, after(0))
    journal.refused("t1", 1, after(0))
    journal.received("t2", 1, after(0))
    assert read_journals(folder.received) == {("t2", 1): after(0)}
    journal.received("t1", 1, after(1))
    assert read_journals(folder.received) == {("t2", 1): after(0), ("t1", 1): after(1)}


def test_lines_that_a_crash_cut_short_are_left_out(folder):
    folder.received.mkdir()
    whole = json.dumps({"trial_id": "t1", "revision": 1, "at": NOW})
    (folder.received / "1.jsonl").write_text(f"{whole}\n{whole[:25]}\n[1]\n\n{whole}\n")
    (folder.received / "2.jsonl").write_bytes(whole.replace("t1", "t2").encode() + b"\n\xff\x00")
    assert read_journals(folder.received) == {("t1", 1): NOW, ("t2", 1): NOW}
    assert read_journals(folder.root / "none") == {}


def test_a_real_server_keeps_what_it_receives(folder, store):
    [link] = invite(folder, 1, NOW, "http://localhost")
    server = StudyServer(folder.store_address, folder.blinded)
    try:
        ann = server.visitor(link)
        state = ann.begin()
        for _ in range(3):
            last = state["trials"][0]["trial_id"]
            state = ann.vote_on(state)
        ann.vote_kept(last, "right", revision=2)
        ann.vote_kept(last, "right", revision=2)  # sent again
        assert ann.vote(last, "left", revision=7).status == 409  # refused
    finally:
        server.kill()
    later = after(2, datetime.now(UTC).isoformat(timespec="milliseconds"))
    found = reception(store, folder.received, later)
    assert (found.received, found.kept, found.alarm) == (4, 4, None)


def test_simulated_votes_need_no_journal(store, folder):
    utilities = {
        (question, image): 0.0
        for question in ("quality", "alignment")
        for image in folder.read_images()["image_id"]
    }
    cast = simulate_sessions(folder, store, utilities, Population(), 3, NOW)
    found = reception(store, folder.received, LATER)
    assert (found.received, found.kept, found.simulated) == (0, cast, cast)
    assert found.alarm is None


def test_votes_of_before_the_journals_are_no_alarm_and_later_ones_are(store, folder, ann):
    ann.vote(3)
    shutil.rmtree(folder.received)
    assert reception(store, folder.received, LATER).unreceived == 3
    store.note(after(1), "app", "upgrade", "1 to 2")
    ann.at = after(2)
    ann.vote(2)
    found = reception(store, folder.received, LATER)
    assert (found.received, found.kept, found.before_journals) == (2, 5, 3)
    assert found.alarm is None
    shutil.rmtree(folder.received)
    assert reception(store, folder.received, LATER).unreceived == 2
    assert store.withdraw("ann", LATER) == 5
    assert reception(store, folder.received, LATER).alarm is None


# ---- what it says, and to whom


def test_an_unknown_annotator_gets_the_nearest_spelling(store, ann):
    require_annotator(store, "ann")
    with pytest.raises(StoreError, match=r'annotator "anna": unknown; did you mean "ann"\?'):
        require_annotator(store, "anna")


def test_no_table_names_a_model_or_reveals_an_image(store, folder, ann):
    ann.vote(20)
    state = overview(store, folder.received, LATER)
    everything = [
        json.dumps(state.as_json()),
        annotator_rows(store, LATER).to_csv(),
        vote_rows(store).to_csv(),
        store.log().to_csv(),
    ]
    images = set(folder.read_images()["image_id"])
    for text in everything:
        assert not any(name in text for name in (*MODELS, *images))


def test_votes_stand_in_screen_words(store, ann):
    ann.vote(5, choice="left", ms=2000)
    given, ann.at = ann.at, after(5, ann.at)
    store.start_session("tab-2", "ann", ann.at, 1280, 720, 1.5, 1920, 1080)
    last = ann.answered[-1].trial_id
    store.record_vote(last, "ann", "tie", 100, ann.at, 2, "=a slip", session_id="tab-2")
    rows = vote_rows(store)
    assert rows["choice"].tolist() == ["left"] * 4 + ["tie"]
    corrected = rows.iloc[-1]
    assert corrected["trial_id"] == last
    assert (corrected["revision"], corrected["reason"]) == (2, "=a slip")
    assert (corrected["session_id"], corrected["voted_session_id"]) == (ann.session_id, "tab-2")
    # Looked at and answered then, however fast the slip was mended.
    assert (corrected["response_ms"], corrected["created_at"]) == (2000, given)
    assert rows["revision"].tolist() == [1, 1, 1, 1, 2]
    assert {"trial_id", "annotator_id", "question_id", "pair_id", "left", "kind"} <= set(rows)
    assert "winner" not in rows


def test_the_annotators_rows_carry_figures_and_flags(store, folder, ann):
    ann.vote(99, choice="left", ms=700)
    [row] = annotator_rows(store, LATER).to_dict("records")
    kinds = [trial.kind for trial in ann.answered]
    assert row["n_votes"] == len(kinds) - kinds.count("practice")
    assert row["practice_n"] == kinds.count("practice") == 2
    assert row["left_share"] == row["fast_share"] == 1.0
    assert row["longest_run"] == row["n_votes"]
    assert row["flags"] == "fast, one side, one choice"


def test_an_empty_study(store, folder):
    state = overview(store, folder.received, NOW)
    assert (state.given, state.per_hour, state.expected_end) == (0, 0.0, None)
    assert set(state.annotators.values()) == {0}
    assert state.reception.alarm is None
    assert annotator_rows(store, NOW).empty
    assert vote_rows(store).empty
