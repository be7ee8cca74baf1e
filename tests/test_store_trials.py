"""Trials: leased to one annotator each, renewed, over, given back; what they show and count."""

import pytest
import sqlalchemy as sa

from evalkit import tables
from evalkit.study_sections import Entry
from tests.stores import lease, tallies_hold, vote_on_all
from tests.study_factory import MODELS, NOW, admit

LATER = "2030-01-01T10:00:05.000+00:00"
ONE_PAIR = {
    "n_prompts": 1, "models": tuple(MODELS)[:2], "attention_share": 0, "repeat_share": 0,
    "votes_per_pair": 1,
}  # fmt: skip
LAST_MOMENT = "2030-01-01T10:29:59.999+00:00"
HALF_AN_HOUR = "2030-01-01T10:30:00.000+00:00"
NEXT_DAY = "2030-01-02T10:00:00.000+00:00"


# ---- which trials


def test_open_trials_stay_the_same_and_are_topped_up(store, database):
    admit(store, "ann")
    first = lease(store, "ann", "a")
    assert [trial.trial_id for trial in first] == ["a0", "a1", "a2"]
    assert [trial.position for trial in first] == [1, 2, 3]
    store.start_session("tab-2", "ann", LATER)
    assert store.lease_trials("ann", "tab-2", ["b0", "b1", "b2"], LATER, seed=1) == first
    again = database.open()
    assert lease(again, "ann", "c", now=LATER) == first
    assert again.next_trial("ann", "tab-2", "d0", LATER, seed=3) == first[0]
    store.record_vote("a1", "ann", "tie", 800, LATER)
    topped = lease(again, "ann", "e", now=LATER)
    assert [trial.trial_id for trial in topped] == ["a0", "a2", "e0"]
    assert [again.trial(trial.trial_id) for trial in topped] == topped
    assert tallies_hold(database)


def test_a_request_that_is_sent_again_leases_nothing_twice(store):
    admit(store, "ann")
    assert lease(store, "ann", "a", n=1) == lease(store, "ann", "a", n=1)
    assert [t.trial_id for t in lease(store, "ann", "a", n=3)] == ["a0", "a1", "a2"]
    assert len(store.trials()) == 3


def test_no_trial_of_the_next_part_is_given_while_one_of_this_part_is_open(store):
    """The next part shows its prompts, which must not be known to who answers this one."""
    admit(store, "ann")
    spans = []
    while leased := lease(store, "ann", f"{len(spans)}-"):
        spans.append([trial.question_id for trial in leased])
        store.record_vote(leased[0].trial_id, "ann", "left", 900, NOW)
    alone = {"quality": ["quality"], "alignment": ["alignment"]}
    assert spans == [
        alone[question] * n for question in ("quality", "alignment") for n in (3, 3, 3, 3, 2, 1)
    ]


def test_a_trial_says_which_public_image_lies_where(store, database):
    admit(store, "ann")
    files = {
        pair_id: {"a": a, "b": b}
        for pair_id, a, b in database.execute("SELECT pair_id, file_a, file_b FROM pairs")
    }
    lefts = set()
    for number in range(8):
        [trial] = lease(store, "ann", f"{number}-", n=1)
        pair = files[trial.pair_id]
        right = "b" if trial.left == "a" else "a"
        assert (trial.left_file, trial.right_file) == (pair[trial.left], pair[right])
        lefts.add(trial.left)
        store.record_vote(trial.trial_id, "ann", "left", 800, NOW)
    assert lefts == {"a", "b"}


def test_an_annotator_comes_to_the_end(store):
    admit(store, "ann")
    assert store.annotator("token-of-ann").finished_at is None
    for number in range(12):
        assert (store.progress("ann").done, store.progress("ann").total) == (number, 12)
        [trial] = lease(store, "ann", f"{number}-", n=1)
        store.record_vote(trial.trial_id, "ann", "right", 800, NOW)
    assert store.progress("ann").done == 12
    assert lease(store, "ann", "end", now=LATER) == lease(store, "ann", "end", now=NEXT_DAY) == []
    assert store.trial("end0") is None
    assert store.annotator("token-of-ann").finished_at == LATER


def test_practice_says_which_side_is_right_and_counts_nowhere(database):
    store = database.create(practice_trials=2, trials_per_annotator=4, votes_per_pair=9)
    admit(store, "ann")
    kinds = []
    while leased := lease(store, "ann", f"{len(kinds)}-", n=1):
        [trial] = leased
        kinds.append(trial.kind)
        expected = store.expected_side(trial.trial_id)
        assert (expected is not None) == (trial.kind == "practice")
        if expected:
            [row] = database.execute(
                f"SELECT expected, foil FROM pairs WHERE pair_id = '{trial.pair_id}'"
            )
            assert row == ("a" if (trial.left == "a") == (expected == "left") else "b", trial.foil)
            assert store.progress("ann").done == kinds.count("main")
        store.record_vote(trial.trial_id, "ann", expected or "left", 800, NOW)
    assert kinds == ["practice", "practice", "main", "main"] * 2
    annotators = store.annotators().to_dict("records")
    assert [(r["n_trials"], r["n_votes"], r["n_practice"]) for r in annotators] == [(4, 4, 4)]
    assert store.expected_side("no such trial") is None
    assert tallies_hold(database)


def test_the_instructions_have_an_example_where_the_prompt_is_hidden(store, database):
    [(a, b, expected)] = database.execute(
        "SELECT file_a, file_b, expected FROM pairs WHERE role = 'example'"
    )
    example = store.example("quality")
    assert (example.left_file, example.right_file, example.foil) == (a, b, "pixelated")
    assert example.expected == {"a": "left", "b": "right"}[expected]
    assert store.example("alignment") is None
    assert example.expected in ("left", "right")


def test_the_adaptive_policy_reads_the_votes_for_each_side(database):
    """Votes for the left image add up by image, not by side; ties and both_bad count as ties."""
    store = database.create(policy="adaptive", n_prompts=8, votes_per_pair=9)
    admit(store, "ann")
    counted = {}
    for number in range(12):
        [trial] = lease(store, "ann", f"{number}-", n=1)
        choice = ("left", "right", "tie")[number % 3]
        store.record_vote(trial.trial_id, "ann", choice, 800, NOW)
        if trial.kind == "main":
            won = {"left": trial.left, "right": "ba"["ab".index(trial.left)], "tie": "ties"}[choice]
            [(code,)] = database.execute(
                f"SELECT matchup FROM pairs WHERE pair_id = '{trial.pair_id}'"
            )
            row = counted.setdefault((trial.question_id, code), {"a": 0, "b": 0, "ties": 0})
            row[won] += 1
    kept = database.execute(
        "SELECT question_id, matchup, a, b, ties FROM matchup_tallies WHERE a + b + ties > 0"
    )
    assert {(q, m): {"a": a, "b": b, "ties": t} for q, m, a, b, t in kept} == counted


# ---- leases


def ask(store, annotator, now, trial_id=None):
    trial = store.next_trial(
        annotator, f"session-of-{annotator}", trial_id or f"{annotator} {now}", now, seed=0
    )
    return trial and trial.question_id


def test_an_open_trial_keeps_its_pair_from_others_for_the_lease(database):
    """One pair, one vote wanted: a second annotator stands by, a third is done until the lease
    of the others is over."""
    store = database.create(**ONE_PAIR)
    for name in ("ann", "ben", "eve", "kim"):
        admit(store, name)
    assert ask(store, "ann", NOW) == "quality"
    assert ask(store, "ben", LAST_MOMENT) == "quality"
    assert store.progress("eve").total == 1
    assert ask(store, "eve", LAST_MOMENT) == "alignment"
    assert len(store.open_leases(LAST_MOMENT)) == 3
    assert len(store.open_leases(HALF_AN_HOUR)) == 2
    assert ask(store, "kim", HALF_AN_HOUR) == "quality"  # ann's lease is over
    assert tallies_hold(database)


def test_a_lease_is_as_long_as_the_study_says_and_renewed_by_each_request(database):
    store = database.create(**ONE_PAIR, lease_minutes=5)
    admit(store, "ann")
    ask(store, "ann", NOW)
    assert store.open_leases(NOW)["lease_until"].tolist() == ["2030-01-01T10:05:00.000+00:00"]
    ask(store, "ann", "2030-01-01T10:04:00.000+00:00")
    assert store.open_leases(NOW)["lease_until"].tolist() == ["2030-01-01T10:09:00.000+00:00"]
    for name in ("ben", "eve"):
        admit(store, name)
    assert ask(store, "ben", "2030-01-01T10:06:00.000+00:00") == "quality"
    assert ask(store, "eve", "2030-01-01T10:06:00.000+00:00") == "alignment"  # two hold the pair


def test_who_comes_back_gets_the_trial_again_while_its_pair_lacks_votes(database):
    store = database.create(**ONE_PAIR)
    for name in ("ann", "ben", "eve"):
        admit(store, name)
    ask(store, "ann", NOW, "t1")
    ask(store, "ben", NEXT_DAY)
    assert database.execute("SELECT state FROM trials WHERE trial_id = 't1'") == [("expired",)]
    assert ask(store, "ann", NEXT_DAY, "t2") == "quality"
    assert store.trial("t2") is None
    assert database.execute("SELECT state FROM trials WHERE trial_id = 't1'") == [("open",)]
    assert ask(store, "eve", NEXT_DAY) == "alignment"
    assert tallies_hold(database)


@pytest.mark.parametrize("answered", [True, False])
def test_a_trial_is_given_back_where_others_have_its_pair(database, answered):
    """Answered by another, or in the hands of as many others as may hold it."""
    store = database.create(**ONE_PAIR)
    for name in ("ann", "ben", "eve", "kim"):
        admit(store, name)
    ask(store, "ann", NOW, "t1")
    ask(store, "ben", NEXT_DAY, "t2")
    if answered:
        store.record_vote("t2", "ben", "left", 900, NEXT_DAY)
    else:
        ask(store, "eve", NEXT_DAY, "t3")
    assert ask(store, "ann", NEXT_DAY, "t4") == "alignment"
    assert database.execute("SELECT state FROM trials WHERE trial_id = 't1'") == [("returned",)]
    assert (store.progress("ann").done, store.progress("ann").total) == (0, 1)
    assert store.annotators()["n_trials"].tolist()[0] == 1
    assert tallies_hold(database)
    # Even where the pair lacks votes again, nobody is shown it a second time.
    for name in ("ben", "eve"):
        store.withdraw(name, NEXT_DAY)
    store.record_vote("t4", "ann", "left", 900, NEXT_DAY)
    assert ask(store, "ann", NEXT_DAY, "t5") is None
    assert ask(store, "kim", NEXT_DAY, "t6") == "quality"


def test_a_vote_on_a_trial_that_was_given_back_counts_and_is_never_dropped(database):
    """It was pressed while the page could not reach the server: one more vote than was wanted."""
    store = database.create(**ONE_PAIR)
    for name in ("ann", "ben"):
        admit(store, name)
    ask(store, "ann", NOW, "t1")
    ask(store, "ben", NEXT_DAY, "t2")
    store.record_vote("t2", "ben", "left", 900, NEXT_DAY)
    assert ask(store, "ann", NEXT_DAY, "t3") == "alignment"
    assert database.execute("SELECT state FROM trials WHERE trial_id = 't1'") == [("returned",)]
    store.record_vote("t1", "ann", "left", 900, NEXT_DAY)
    assert database.execute("SELECT state FROM trials WHERE trial_id = 't1'") == [("voted",)]
    assert store.pair_votes().set_index("question_id")["voted"].to_dict() == {
        "quality": 2, "alignment": 0,
    }  # fmt: skip
    assert (store.progress("ann").done, store.progress("ann").total) == (1, 2)
    assert tallies_hold(database)
    store.record_vote("t1", "ann", "tie", 900, NEXT_DAY, revision=2)
    assert database.execute("SELECT sum(a) + sum(b), sum(ties) FROM matchup_tallies") == [(1, 1)]
    store.withdraw("ann", NEXT_DAY)
    assert tallies_hold(database)


def test_a_vote_on_a_trial_whose_lease_is_over_still_counts(database):
    """An outbox that comes back late: nobody had asked for trials meanwhile, or others had."""
    store = database.create(**ONE_PAIR)
    for name in ("ann", "ben"):
        admit(store, name)
    ask(store, "ann", NOW, "t1")
    ask(store, "ben", NEXT_DAY, "t2")
    store.record_vote("t1", "ann", "left", 900, NEXT_DAY)
    store.record_vote("t2", "ben", "right", 900, NEXT_DAY)
    assert store.votes()["trial_id"].tolist() == ["t1", "t2"]
    assert store.pair_votes().set_index("question_id")["voted"].to_dict() == {
        "quality": 2, "alignment": 0,
    }  # fmt: skip
    assert tallies_hold(database)


# ---- the end


def test_who_waits_for_the_last_pairs_is_not_finished(database):
    """Ann and Ben hold the only pair, for one vote: Eve is given the other question's, and then
    waits, though she has voted, until it is answered; Kim, who had nothing, takes no part."""
    one_question = {**ONE_PAIR, "trials_per_annotator": 2}
    store = database.create(**one_question)
    for name in ("ann", "ben", "eve", "kim", "zoe"):
        admit(store, name)
    for name in ("ann", "ben"):
        assert ask(store, name, NOW) == "quality"
    for name in ("eve", "kim"):
        assert ask(store, name, NOW) == "alignment"
    assert ask(store, "zoe", NOW) is None
    assert store.ending("zoe") == "wait"
    assert store.annotators()["finished_at"].isna().all()
    store.record_vote(f"kim {NOW}", "kim", "left", 900, NOW)
    assert ask(store, "kim", NOW, "k2") is None
    assert (store.ending("kim"), store.annotator("token-of-kim").finished_at) == ("done", NOW)
    assert store.ending("zoe") == "wait"  # for the first question, which none has answered
    assert ask(store, "zoe", NOW, "z2") is None
    store.record_vote(f"ann {NOW}", "ann", "left", 900, NOW)
    assert ask(store, "zoe", NOW, "z2") is None
    assert (store.ending("zoe"), store.annotator("token-of-zoe").finished_at) == ("full", None)


def test_who_waits_goes_on_when_another_s_lease_is_over(database):
    store = database.create(**ONE_PAIR)
    for name in ("ann", "ben", "eve", "kim", "zoe"):
        admit(store, name)
    for name in ("ann", "ben", "eve", "kim"):
        ask(store, name, NOW)
    assert ask(store, "zoe", LAST_MOMENT) is None
    assert store.ending("zoe") == "wait"
    assert ask(store, "zoe", HALF_AN_HOUR) == "quality"


def test_who_never_had_anything_to_do_holds_no_place(database):
    """All votes are there: the next one who agrees sees that the study is full, and the one place
    is another's at once."""
    store = database.create(**ONE_PAIR)
    admit(store, "ann")
    vote_on_all(store, "ann")
    store.set_entry(Entry(kind="open", limit=1))
    for name in ("x1", "x2"):
        store.admit("open", None, name, NOW)
        store.consent(name, NOW, "v1")
        store.start_session(f"session-of-{name}", name, NOW)
        assert lease(store, name, name) == []
        assert store.ending(name) == "full"
    assert store.annotators()["finished_at"].notna().tolist() == [True, False, False]


def test_practice_alone_makes_nobody_finished(database):
    """Ann has practised when the only pair gets its vote from another."""
    store = database.create(**{**ONE_PAIR, "practice_trials": 1})
    for name in ("ann", "ben"):
        admit(store, name)
    [practice] = lease(store, "ann", "p", n=1)
    store.record_vote(practice.trial_id, "ann", "left", 900, NOW)
    vote_on_all(store, "ben")
    assert practice.kind == "practice"
    assert lease(store, "ann", "q") == []
    assert store.ending("ann") == "full"
    assert store.annotators()["finished_at"].notna().tolist() == [False, True]


# ---- what it costs


def statements(store, call):
    """The statements that a call runs, and how many rows of each query it took in."""
    heard = []

    def hear(_connection, _cursor, statement, parameters, _context, many):
        heard.append((statement, parameters, many))

    engine = store._connections.engine
    sa.event.listen(engine, "after_cursor_execute", hear)
    try:
        call()
    finally:
        sa.event.remove(engine, "after_cursor_execute", hear)
    return heard


def test_no_request_reads_all_trials_or_votes(database):
    """With 3 and with 9 annotators before, a request runs the same statements, and each of them
    finds its rows by an index (or reads a table that does not grow with the votes)."""
    store = database.create(n_prompts=6, votes_per_pair=20)
    counts = []
    for size in (3, 9):
        for number in range(size):
            name = f"{size}-{number}"
            admit(store, name)
            vote_on_all(store, name)
        admit(store, f"new-{size}")
        lease(store, f"new-{size}", f"{size}-warm", n=1)
        lease(store, f"new-{size}", f"{size}-warm", n=2)
        heard = []
        for call in (
            lambda: store.record_vote(f"{size}-warm0", f"new-{size}", "left", 900, NOW),  # noqa: B023
            lambda: lease(store, f"new-{size}", f"{size}-x", n=2),  # noqa: B023
            lambda: store.progress(f"new-{size}"),  # noqa: B023
        ):
            heard += statements(store, call)
        counts.append(len(heard))
    assert counts[0] == counts[1]
    assert counts[1] < 40
    if database.is_server:
        return
    with store._connections.engine.connect() as connection:
        for statement, parameters, many in heard:
            if not statement.startswith(("SELECT", "UPDATE", "DELETE")):
                continue
            given = parameters[0] if many else parameters
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
            for row in plan:
                assert not row.detail.startswith(("SCAN trials", "SCAN votes", "SCAN annot")), (
                    statement
                )


def test_a_process_reads_only_the_tallies_that_changed(store, database):
    """Another process sees each change; the one that sees nothing new reads no row."""
    other = database.open()
    admit(store, "ann")
    rows = []
    for number in range(4):
        [trial] = lease(store, "ann", f"{number}-", n=1)
        store.record_vote(trial.trial_id, "ann", "left", 900, NOW)
        other.progress("ann")
        with other._reading() as connection:
            reader = other._current(connection)[0].tallies
            changed = "SELECT count(*) FROM tallies WHERE changed > "
            rows.append(connection.exec_driver_sql(changed + str(reader._last)).scalar())
            tallies = reader.read(connection)
        voted = {
            (q, p): tallies.get(q, p).voted
            for q, p in store.pair_votes()[["question_id", "pair_id"]].itertuples(index=False)
        }
        kept = store.pair_votes().set_index(["question_id", "pair_id"])["voted"].to_dict()
        assert voted == kept
        assert sum(kept.values()) == number + 1 - (store.trials()["kind"] != "main").sum()
    assert rows == [0, 0, 0, 0]


# ---- tables


def test_the_tables_have_the_columns_of_the_house(store):
    assert store.trials().columns.tolist() == tables.TRIALS.names
    assert store.votes().columns.tolist() == tables.VOTES.names
    admit(store, "ann")
    admit(store, "eve")
    trials = lease(store, "ann", "t", n=2)
    store.record_vote("t0", "ann", "left", 900, LATER)
    frame = store.trials()
    assert frame.columns.tolist() == tables.TRIALS.names
    assert frame.to_dict("records") == [
        {name: getattr(trial, name) for name in tables.TRIALS.names} for trial in trials
    ]
    assert store.votes().to_dict("records") == [
        {
            "trial_id": "t0", "choice": "left", "response_ms": 900, "created_at": LATER,
            "revision": 1, "reason": "", "voted_session_id": "",
        }
    ]  # fmt: skip
    people = store.annotators()[
        ["annotator_id", "simulated", "consented_at", "n_trials", "n_votes"]
    ]
    assert people.values.tolist() == [["ann", False, NOW, 2, 1], ["eve", False, NOW, 0, 0]]
    assert store.vote_keys()[["trial_id", "revision", "simulated"]].values.tolist() == [
        ["t0", 1, False]
    ]
    assert set(store.checks()["expected"]) <= {"a", "b"}
    assert set(store.checks()["role"]) == {"attention", "example"}
    assert store.pairs().columns.tolist() == tables.BLINDED_PAIRS.names
    assert (store.pair_votes()["wanted"] == 2).all()
