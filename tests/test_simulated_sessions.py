"""Simulated annotators in the real store: practice too, all marked, nothing of it compared."""

import pytest

from evalkit import tables
from evalkit.collection import open_collection
from evalkit.result_tables import analyze_study
from evalkit.simulate import Population
from evalkit.simulated_sessions import simulate_sessions
from tests.study_factory import NOW, make_study

LOOKING = Population(careless_share=0.0)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A folder and its store after simulated annotators gave every pair its votes."""
    folder = make_study(tmp_path_factory.mktemp("simulated") / "study", practice_trials=2)
    store = open_collection(folder, NOW)
    images = folder.read_images()["image_id"]
    utilities = {(q, i): 0.0 for q in ("quality", "alignment") for i in images}
    cast = simulate_sessions(folder, store, utilities, LOOKING, seed=3, now=NOW)
    yield folder, store, cast
    store.close()


def test_every_pair_gets_its_votes_and_no_lease_is_left(simulated):
    _, store, cast = simulated
    pairs = store.pair_votes()
    assert pairs["voted"].between(2, 3).all()
    assert (pairs["open"] == 0).all()
    assert cast == len(store.votes()) == len(store.trials())


def test_whoever_works_practises_first_and_gets_it_right(simulated):
    """Who looks takes the right side of a check but once in e^6 = 403 times or more."""
    _, store, _ = simulated
    annotators = store.annotators()
    assert annotators["simulated"].all()
    at_work = annotators[annotators["n_votes"] > 0]
    assert at_work["n_practice"].isin([2, 4]).all()
    practice = store.trials().query("kind == 'practice'").merge(store.votes(), on="trial_id")
    right = practice["choice"] == [store.expected_side(i) for i in practice["trial_id"]]
    assert right.mean() > 0.9
    assert store.votes()["trial_id"].isin(store.vote_keys().query("simulated")["trial_id"]).all()


def test_practice_enters_no_comparison(simulated):
    folder, store, _ = simulated
    comparisons = analyze_study(folder)["comparisons"]
    kinds = store.trials().set_index("trial_id")["kind"]
    assert set(kinds[comparisons["trial_id"]]) == {"main"}  # too few trials for a repeat
    assert (comparisons["vote_source"] == tables.SIMULATED).all()
