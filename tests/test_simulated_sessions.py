"""Simulated annotators in the real store: practice too, all marked, nothing of it compared."""

import numpy as np
import pytest

from evalkit import tables
from evalkit.analysis.annotators import annotator_table, fast_floor, flags
from evalkit.collection import invite, open_collection, open_for_people
from evalkit.comparisons import attention_answers
from evalkit.errors import StoreError, StudyError
from evalkit.result_tables import analyze_study
from evalkit.simulate import Population, Way
from evalkit.simulated_sessions import make_annotator, simulate_sessions
from evalkit.store import StudyFullError
from tests.study_factory import NOW, admit, make_study

LOOKING = Population(annotator_sd=0.4, tie_weight=0.35)


def indifferent(folder):
    """No image is better than another."""
    images = folder.read_images()["image_id"]
    return {(q.id, i): 0.0 for q in folder.study.questions for i in images}


def simulated_study(root, population, seed=3, annotators=None, **settings):
    """A folder, its open store and the votes cast."""
    folder = make_study(root, **settings)
    store = open_collection(folder, NOW)
    cast = simulate_sessions(
        folder, store, indifferent(folder), population, seed, NOW, annotators=annotators
    )
    return folder, store, cast


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A folder and its store after simulated annotators gave every pair its votes."""
    root = tmp_path_factory.mktemp("simulated") / "study"
    folder, store, cast = simulated_study(root, LOOKING, practice_trials=2)
    yield folder, store, cast
    store.close()


def test_every_pair_gets_its_votes_and_no_lease_is_left(simulated):
    _, store, cast = simulated
    pairs = store.pair_votes()
    assert pairs["voted"].between(2, 3).all()
    assert (pairs["open"] == 0).all()
    assert cast == len(store.votes()) == len(store.trials())


def test_whoever_works_practises_first_and_gets_it_right(simulated):
    """Who looks takes the right side of a check but once in e^3 = 20 times (a tie) or more."""
    _, store, _ = simulated
    annotators = store.annotators()
    assert annotators["simulated"].all()
    assert (annotators["n_votes"] > 0).all()
    assert annotators["n_practice"].isin([2, 4]).all()
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


def votes_of(store):
    return store.trials().merge(store.votes(), on="trial_id")[
        ["trial_id", "pair_id", "left", "choice", "response_ms", "created_at"]
    ]


def test_the_same_seed_gives_the_same_votes_also_after_a_stop(simulated, tmp_path):
    _, store, cast = simulated
    _, again, first = simulated_study(tmp_path / "again", LOOKING, annotators=2, practice_trials=2)
    assert again.annotators()["n_votes"].gt(0).sum() == 2
    assert 0 < first < cast
    folder = make_study(tmp_path / "again", practice_trials=2)  # the same files
    rest = simulate_sessions(folder, again, indifferent(folder), LOOKING, 3, NOW)
    assert first + rest == cast
    assert votes_of(again).equals(votes_of(store))
    _, other, _ = simulated_study(tmp_path / "other", LOOKING, seed=4, practice_trials=2)
    assert not votes_of(other)["choice"].equals(votes_of(store)["choice"])
    again.close()
    other.close()


def test_an_annotator_sits_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = make_study(tmp_path / "study")
    store = open_collection(folder, NOW)
    sat = type(store).record_vote

    def fails(self, trial_id, *arguments, **words):
        if trial_id == "simulated-002-0003":
            raise KeyboardInterrupt
        return sat(self, trial_id, *arguments, **words)

    monkeypatch.setattr(type(store), "record_vote", fails)
    with pytest.raises(KeyboardInterrupt):
        simulate_sessions(folder, store, indifferent(folder), LOOKING, 3, NOW)
    assert store.annotators()["annotator_id"].tolist() == ["simulated-001"]
    assert store.trials()["annotator_id"].unique().tolist() == ["simulated-001"]
    assert (store.pair_votes()["open"] == 0).all()
    store.close()


# ---- what is planted is found again


def test_the_share_of_careless_votes_shows_in_the_checks(tmp_path):
    """Who looks passes a check of gap 6 with e^3 / (e^3 + e^-3 + .35) = .981, who does not with
    1/3; so c = (.981 - passed) / (.981 - 1/3)."""
    careless = Population(tie_weight=0.35, careless_share=0.2)
    folder, store, _ = simulated_study(
        tmp_path / "study", careless, n_prompts=30, attention_share=0.5, votes_per_pair=4,
        trials_per_annotator=60,
    )  # fmt: skip
    checks = tables.read(folder.checks_file, tables.CHECKS)
    answers = attention_answers(store.votes(), store.trials(), checks)
    n = len(answers)
    assert n > 600
    looked = np.exp(3) / (np.exp(3) + np.exp(-3) + 0.35)
    found = (looked - answers["passed"].mean()) / (looked - 1 / 3)
    error = np.sqrt(answers["passed"].var() / n) / (looked - 1 / 3)
    assert abs(found - 0.2) < 4 * error < 0.1
    store.close()


def test_those_who_never_look_are_flagged_and_nobody_else(tmp_path):
    people = Population(tie_weight=0.35, straight_lining_share=0.2, speeding_share=0.2)
    folder, store, _ = simulated_study(
        tmp_path / "study", people, seed=8, n_prompts=40, votes_per_pair=4,
        trials_per_annotator=60, min_viewing_ms=500,
    )  # fmt: skip
    table = annotator_table(store.votes(), store.trials(), store.checks(), fast_floor(500))
    table = table.assign(flags=flags(table))[table["n_votes"] >= 40]
    numbers = [int(name.rpartition("-")[2]) for name in table["annotator_id"]]
    ways = [make_annotator(folder, people, 8, number).way for number in numbers]
    assert {Way.STRAIGHT_LINES, Way.SPEEDS, Way.LOOKS} == set(ways)
    for way, found in zip(ways, table["flags"], strict=True):
        assert ("one choice" in found) == (way == Way.STRAIGHT_LINES)
        assert ("fast" in found) == (way == Way.SPEEDS)
    took = store.votes()["response_ms"]
    assert took.min() >= 500
    store.close()


# ---- apart from people


def test_nobody_is_simulated_beside_people(tmp_path):
    folder = make_study(tmp_path / "study")
    store = open_collection(folder, NOW)
    admit(store, "ann")
    with pytest.raises(StoreError, match="people take part in this study"):
        simulate_sessions(folder, store, indifferent(folder), LOOKING, 3, NOW)
    assert store.annotators()["annotator_id"].tolist() == ["ann"]
    assert not store.has_votes()
    assert not store.has_simulated()
    store.close()


def test_no_person_votes_beside_the_simulated(tmp_path):
    """Not by a new link, not by one from before, not by an entry for all."""
    folder = make_study(tmp_path / "study")
    store = open_collection(folder, NOW)
    store.add_annotator("early", "token", NOW)
    simulate_sessions(folder, store, indifferent(folder), LOOKING, 3, NOW)
    for refused in (
        lambda: store.consent("early", NOW),
        lambda: store.add_annotator("late", "other token", NOW),
    ):
        with pytest.raises(StudyFullError, match="SIMULATED VOTES, and no person may vote"):
            refused()
    assert not store.has_place("early", NOW)
    for refused in (
        lambda: invite(folder, 1, NOW, "http://localhost"),
        lambda: open_for_people(folder, NOW),
    ):
        with pytest.raises(StudyError, match="holds SIMULATED VOTES, and no person may vote"):
            refused()
    assert store.has_simulated()
    assert store.annotators()["simulated"].sum() == len(store.annotators()) - 1
    store.close()


def test_the_open_link_is_closed_beside_the_simulated(tmp_path):
    folder = make_study(tmp_path / "study")
    study = folder.root / "study.toml"
    study.write_text(study.read_text() + '\n[entry]\nkind = "open"\nlimit = 5\n')
    folder = type(folder)(folder.root)
    store = open_collection(folder, NOW)
    simulate_sessions(folder, store, indifferent(folder), LOOKING, 3, NOW)
    with pytest.raises(StudyFullError, match="no person may vote"):
        store.admit("open", None, "somebody", NOW)
    assert store.annotators()["simulated"].all()
    store.close()
