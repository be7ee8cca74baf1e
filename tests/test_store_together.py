"""Many at once: threads and processes that lease and vote through one database."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from evalkit.store import open_store
from tests.stores import lease, tallies_hold
from tests.study_factory import admit

LATER = "2030-01-01T10:00:05.000+00:00"
N_THREADS = 16


def at_once(task):
    """What the task gives for 0 to 15, all begun at one moment in threads of their own."""
    start = threading.Barrier(N_THREADS)

    def run(number):
        start.wait()
        return task(number)

    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(run, range(N_THREADS)))


def test_threads_that_ask_at_once_get_the_same_trials(store):
    admit(store, "ann")
    asked = at_once(lambda number: lease(store, "ann", f"{number}-"))
    assert all(leased == asked[0] for leased in asked)
    assert len(store.trials()) == 3


def test_threads_that_vote_at_once_store_one_vote_and_all_learn_it(store):
    admit(store, "ann")
    lease(store, "ann", "t")
    choices = ("left", "right", "tie")
    votes = at_once(lambda n: store.record_vote("t0", "ann", choices[n % 3], n, LATER))
    assert len(set(votes)) == 1
    assert store.votes()["choice"].tolist() == [votes[0].choice]


def test_threads_lease_and_vote_at_once_within_all_bounds(database):
    """16 annotators, each in a thread of their own, through two stores as in two processes: every
    pair of each question gets its 3 votes and at most one more, sides stay balanced to within one,
    nobody sees a pair twice but in a repeat, and the tallies are what a count gives."""
    stores = [
        database.create(n_prompts=4, votes_per_pair=3, trials_per_annotator=12), database.open(),
    ]  # fmt: skip
    for number in range(N_THREADS):
        admit(stores[0], f"a{number}")

    def annotate(number):
        store, name, n = stores[number % 2], f"a{number}", 0
        while leased := lease(store, name, f"{name}-{n}-", n=2):
            for trial in leased:
                store.record_vote(trial.trial_id, name, "left", 900, LATER)
                n += 1
        return n

    given = at_once(annotate)
    trials, votes = stores[1].trials(), stores[1].votes()
    assert len(votes) == len(trials) == sum(given)
    assert tallies_hold(database)
    pairs = stores[0].pair_votes()
    assert len(pairs) == 24
    assert pairs["voted"].between(3, 4).all()
    assert (pairs["open"] == 0).all()
    mains = trials[trials["kind"] == "main"].merge(
        pairs[["pair_id", "matchup"]].drop_duplicates(), on="pair_id"
    )
    assert not mains.duplicated(["annotator_id", "question_id", "pair_id"]).any()
    assert not trials.duplicated(["annotator_id", "position"]).any()
    lefts = mains.groupby(["annotator_id", "question_id", "matchup"])["left"]
    assert lefts.agg(lambda left: abs((left == "a").sum() - (left == "b").sum())).max() <= 1


def vote_in_a_process(address, process, annotator_ids, answers):
    """Drive these annotators to their end and say what was acknowledged."""
    store = open_store(address)
    for annotator_id in annotator_ids:
        number = 0
        while leased := lease(store, annotator_id, f"{annotator_id}-{process}-{number}-", n=1):
            choice = "left" if process else "right"
            vote = store.record_vote(leased[0].trial_id, annotator_id, choice, process, LATER)
            answers.put((leased[0].trial_id, vote.choice))
            number += 1
    store.close()


@pytest.mark.parametrize("design", [{"n_prompts": 8, "votes_per_pair": 2}])
def test_processes_that_serve_the_same_annotators_agree(database, design):
    """Two processes drive both annotators at once: each trial once, each vote once."""
    store = database.create(**design)
    for name in ("ann", "ben"):
        admit(store, name)
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    processes = [
        spawn.Process(
            target=vote_in_a_process, args=(database.address, number, ["ann", "ben"], answers)
        )
        for number in (0, 1)
    ]
    for process in processes:
        process.start()
    heard = []
    while any(process.is_alive() for process in processes) or not answers.empty():
        try:
            heard.append(answers.get(timeout=0.2))
        except multiprocessing.queues.Empty:
            continue
    assert [process.exitcode for process in processes] == [0, 0]
    trials, votes = store.trials(), store.votes()
    assert len(votes) == len(trials) == 24
    assert not trials.duplicated(["annotator_id", "position"]).any()
    mains = trials[trials["kind"] == "main"]
    assert not mains.duplicated(["annotator_id", "question_id", "pair_id"]).any()
    stored = dict(zip(votes["trial_id"], votes["choice"], strict=True))
    assert all(stored[trial_id] == choice for trial_id, choice in heard)
    assert {trial_id for trial_id, _ in heard} == set(stored)
    assert tallies_hold(database)


def test_what_is_done_together_is_one_transaction_and_of_this_thread_only(store, database):
    """Others see nothing of it before its end; a vote, a lease and a read within see each other."""
    admit(store, "ann")
    lease(store, "ann", "t")
    with store.together():
        assert store.record_vote("t0", "ann", "left", 900, LATER).choice == "left"
        assert store.vote("t0").choice == "left"
        assert len(lease(store, "ann", "u")) == 3
        with ThreadPoolExecutor(1) as other:
            assert other.submit(store.vote, "t0").result() is None
            assert other.submit(lambda: len(store.trials())).result() == 3
    assert store.vote("t0").choice == "left"
    assert len(store.trials()) == 4
    assert tallies_hold(database)


def test_what_is_done_together_is_undone_together(store, database):
    admit(store, "ann")
    lease(store, "ann", "t")
    with pytest.raises(RuntimeError, match="in the midst"), store.together():
        store.record_vote("t0", "ann", "left", 900, LATER)
        lease(store, "ann", "u")
        raise RuntimeError("in the midst")
    assert store.vote("t0") is None
    assert len(store.trials()) == 3
    assert tallies_hold(database)
    store.record_vote("t0", "ann", "right", 900, LATER)
    assert len(lease(store, "ann", "v")) == 3
    assert tallies_hold(database)
