"""benchmarks/choosing.py: it times every choice of whole walks, with a crowd before them."""

import pytest

from benchmarks import choosing


@pytest.mark.parametrize("policy", choosing.POLICIES)
def test_every_trial_of_each_walk_is_timed(monkeypatch, policy):
    monkeypatch.setattr(choosing, "CROWD", 3)
    plan = choosing.make_plan(280, policy)
    choices, progresses = choosing.milliseconds(plan)
    assert len(choices) == len(progresses) == choosing.WALKS * (200 + 4)
    assert min(choices) > 0


def test_a_vote_is_counted_for_its_pair_and_matchup():
    study = choosing.Study(choosing.make_plan(280, "adaptive"), seed=0)
    seen = []
    for _ in range(30):
        study.vote(seen, study.choose(seen))
    mains = [showing for showing in seen if showing.kind == "main"]
    assert study.tallies.counts("quality")[1].sum() == len(mains)
    assert sum(sum(votes) for votes in study.results.values()) == len(mains)
