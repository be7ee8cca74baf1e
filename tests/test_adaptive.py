"""benchmarks/adaptive.py: what is simulated, counted and said, on a few studies."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from benchmarks import adaptive
from benchmarks.adaptive import CLUSTERED, INDEPENDENT, SCALES
from benchmarks.chosen_votes import FIRST, MATCHUPS, MODELS, PROMPTS, SECOND, UNIFORM, Votes, cast
from evalkit.analysis.ratings import ratings

SMALL, WIDE, _ = SCALES


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_strengths_fall_by_the_gaps_and_have_mean_zero():
    assert WIDE.strengths == pytest.approx([2.1, 1.5, 0.9, 0.3, -0.3, -0.9, -1.5, -2.1])
    assert WIDE.matchup_gaps[0] == pytest.approx(0.6)  # a against b
    assert WIDE.matchup_gaps[6] == pytest.approx(7 * 0.6)  # a against h


@pytest.mark.parametrize("share", [UNIFORM, 0.3])
def test_the_same_seed_gives_the_same_votes(share):
    one, other, another = (cast(WIDE, share, 300, CLUSTERED, rng(seed)) for seed in (1, 1, 2))
    for name in ("matchup", "prompt", "annotator", "won"):
        assert (getattr(one, name) == getattr(other, name)).all()
    assert (one.won != another.won).any()


def test_uniform_shows_every_pair_of_images_once_before_any_twice():
    votes = cast(WIDE, UNIFORM, MATCHUPS * PROMPTS, INDEPENDENT, rng())
    assert len(set(zip(votes.matchup, votes.prompt, strict=True))) == MATCHUPS * PROMPTS


def test_adaptive_shows_close_matchups_more_and_spreads_each_over_the_prompts():
    votes = cast(WIDE, 0.3, 4000, INDEPENDENT, rng())
    n = np.bincount(votes.matchup, minlength=MATCHUPS)
    is_next = SECOND - FIRST == 1
    assert n[is_next].mean() > 2 * n[SECOND - FIRST >= 3].mean()
    assert n.min() >= 0.3 * 4000 / MATCHUPS * 0.6  # its share of the uniform votes, but for chance
    for matchup in range(MATCHUPS):
        given = np.bincount(votes.prompt[votes.matchup == matchup], minlength=PROMPTS)
        assert given.max() - given.min() <= 1


@pytest.mark.parametrize("share", [UNIFORM, 0.3])
def test_models_win_by_their_strengths(share):
    votes = cast(WIDE, share, 8000, INDEPENDENT, rng(5))
    expected = expit(WIDE.matchup_gaps[votes.matchup])
    sd = np.sqrt((expected * (1 - expected)).sum())
    assert abs((votes.won - expected).sum()) < 3 * sd


def test_an_annotator_casts_forty_votes_beside_nine_others():
    votes = cast(WIDE, UNIFORM, 1200, CLUSTERED, rng())
    assert set(np.bincount(votes.annotator)) == {40}
    assert set(votes.annotator[:400]) == set(range(10))


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([True, True, True, True], 100),
        ([True, False, True, True], 300),
        ([False, False, False, True], 400),
        ([True, True, True, False], np.inf),
    ],
)
def test_a_ranking_counts_from_the_look_after_the_last_wrong_one(monkeypatch, right, expected):
    looks = np.array([100, 200, 300, 400])
    monkeypatch.setattr(adaptive.Scale, "looks", looks)
    is_right = dict(zip(looks, right, strict=True))
    monkeypatch.setattr(adaptive, "RANKINGS", {"stated": lambda votes, look: is_right[look]})
    assert adaptive.votes_to_rank(WIDE, UNIFORM, 1, seed=0)["stated"].tolist() == [expected]


def test_votes_rank_rightly_by_ratings_and_by_pairs():
    n_each = 10
    matchup = np.repeat(np.arange(MATCHUPS), n_each)
    place = np.tile(np.arange(n_each), MATCHUPS)
    won = place < np.round(n_each * expit(WIDE.matchup_gaps))[matchup]
    votes = Votes(matchup, place, place, won)
    assert adaptive.by_ratings(votes, len(won))
    assert adaptive.by_pairs(votes, len(won))
    turned = replace(votes, won=np.where(matchup == 0, ~won, won))  # b beats a, but loses more
    assert adaptive.by_ratings(turned, len(won))
    assert not adaptive.by_pairs(turned, len(won))
    assert not adaptive.by_ratings(votes, 2 * n_each)  # three models were never shown


def test_adaptive_needs_fewer_votes_than_uniform_for_the_right_ranking():
    short = replace(WIDE, horizon=2_000)
    uniform, mixed = (adaptive.votes_to_rank(short, share, 12, seed=0) for share in (UNIFORM, 0.2))
    means = [np.minimum(votes["pairs"], short.horizon).mean() for votes in (uniform, mixed)]
    assert means[0] > 1.5 * means[1]
    again = adaptive.votes_to_rank(short, 0.2, 2, seed=0)
    assert all((mixed[name][:2] == again[name]).all() for name in adaptive.RANKINGS)


def test_intervals_are_counted_once_each_and_cover():
    found = adaptive.covered(SMALL, 0.3, 10, 1400, CLUSTERED, seed=0)
    for kind, total in (("two-way", 10 * MATCHUPS), ("wilson", 10 * MATCHUPS), ("ratings", 80)):
        assert found[f"of {kind}"] + found[f"no {kind}"] == total
    assert found["two-way"] / found["of two-way"] > 0.9
    assert found["ratings"] / found["of ratings"] > 0.85


def test_the_bounds_of_ratings_are_those_of_the_analysis_but_for_its_freedom():
    votes = cast(WIDE, 0.3, 2800, CLUSTERED, rng())
    models = np.array(MODELS)
    frame = pd.DataFrame(
        {
            "question_id": "quality",
            "prompt_id": votes.prompt.astype(str),
            "annotator_id": votes.annotator.astype(str),
            "model_a": models[FIRST[votes.matchup]],
            "model_b": models[SECOND[votes.matchup]],
            "winner": np.where(votes.won, "model_a", "model_b"),
        }
    )
    expected = ratings(frame).sort_values("model")
    low, high = adaptive._rating_bounds(votes)
    assert low == pytest.approx(expected["ci_low"].to_numpy(), abs=1e-3)
    assert high == pytest.approx(expected["ci_high"].to_numpy(), abs=1e-3)


def test_dropping_decided_pairs_saves_votes_at_the_same_power():
    found = adaptive.dropped(WIDE, 3, seed=0)
    assert found.fixed == 233  # exact binomial: p = expit(.6), level .05 / 28, power .9
    assert found.saving > 1.5
    assert found.power > 0.9  # the closest pairs have .9
    assert found.wrong == 0


def test_the_quick_form_prints_three_tables_and_writes_nothing(monkeypatch, capsys, tmp_path):
    size = replace(adaptive.QUICK, ranked=2, covered=1, dropped=1)
    monkeypatch.setattr(adaptive, "QUICK", size)
    results = tmp_path / "RESULTS.md"
    monkeypatch.setattr(sys, "argv", ["adaptive.py", "--quick", "--results", str(results)])
    adaptive.main()
    printed = capsys.readouterr().out
    assert printed.count("### ") == 3
    assert printed.count("| wide gaps (0.6) |") == 5 + 2 * 5 + 1
    assert not results.exists()
