"""kill -9 under annotators who vote over HTTP: what was acknowledged is stored, once and unaltered.

benchmarks/faults.py does it: real workers with their routes, page, guard and store. What is
shortened is a worker's start, forked from a process with the code loaded (benchmarks/forked.py).
"""

import json

import pandas as pd
import pytest

from benchmarks.faults import ordeal
from benchmarks.studies import voting_study
from evalkit.store import open_store


@pytest.mark.parametrize(("store", "kills"), [("sqlite", 100), ("postgresql", 20)])
def test_killed_again_and_again_no_vote_is_lost_or_doubled(tmp_path, store, kills):
    """50 annotators, two workers killed in turn at seeded random moments; a vote in ten corrected.

    All that was pressed is acknowledged in the end, and stored as pressed: equal sets of
    (trial, revision, choice), with as many rows. So no kill lost, doubled or altered a vote.
    """
    folder = voting_study(tmp_path / "study", store, trials=640, viewing_size=64)
    found = ordeal(folder, annotators=50, kills=kills, workers=2, seed=4)
    kept = found.kept
    assert (kept.lost, kept.doubled, kept.altered, kept.unanswered) == (0, 0, 0, 0)
    assert kept.acknowledged == kept.stored == kept.pressed
    assert kept.rows == len(kept.stored)
    # The ordeal was one: votes and corrections came through, and connections broke.
    assert len(kept.pressed) > kills
    assert kept.corrections > 10
    assert set(found.faults) <= {"no answer", "POST vote 429", "POST vote 503"}
    assert found.faults["no answer"] >= kills / 2
    _assert_consistent(folder)
    _assert_received(folder, kept.stored)


def _assert_consistent(folder) -> None:
    """What the store counts along with each vote is what can be counted afterwards."""
    store = open_store(folder.store_address)
    trials, votes, pairs = store.trials(), store.votes(), store.pair_votes()
    store.close()
    assert not trials.duplicated(["annotator_id", "question_id", "pair_id", "kind"]).any()
    positions = trials.groupby("annotator_id")["position"]
    assert (positions.min() == 1).all()
    assert (positions.max() == positions.nunique()).all()
    voted = trials["trial_id"].isin(votes["trial_id"])
    main = trials[voted & (trials["kind"] == "main")]
    counted = main.groupby(["question_id", "pair_id"]).size().rename("counted")
    merged = pairs.set_index(["question_id", "pair_id"]).join(counted).fillna({"counted": 0})
    pd.testing.assert_series_equal(
        merged["voted"].astype(int), merged["counted"].astype(int), check_names=False
    )
    waiting = trials[~voted & (trials["kind"] == "main")]
    assert pairs["open"].sum() == len(waiting)


def _assert_received(folder, stored) -> None:
    """Each stored vote was written into a journal before; a line that a kill cut short is none."""
    received = set()
    for file in folder.received.glob("*.jsonl"):
        for line in file.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            received.add((row["trial_id"], row["revision"]))
    assert stored.keys() <= received
