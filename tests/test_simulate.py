"""Simulated votes follow the model that they state."""

import numpy as np
import pytest

from evalkit.simulate import Population, choice_weights, draw_tastes, vote

LOOKING = Population(careless_share=0.0, tie_weight=0.5)


def test_weights_are_davidsons():
    # exp(1) : exp(0) : 0.5 * exp(0.5)
    raw = np.array([np.e, 1.0, 0.5 * np.exp(0.5)])
    assert choice_weights(LOOKING, 1.0, 0.0) == pytest.approx(raw / raw.sum())
    assert choice_weights(LOOKING, 1.0, 0.0, tie_offered=False) == pytest.approx(
        [np.e / (1 + np.e), 1 / (1 + np.e)]
    )


def test_left_bias_moves_equal_images_to_the_left():
    weights = choice_weights(Population(left_bias=np.log(3), tie_weight=0), 0.0, 0.0)
    assert weights == pytest.approx([0.75, 0.25])


def test_votes_come_as_often_as_stated():
    rng = np.random.default_rng(0)
    cast = [vote(LOOKING, 0.8, 0.0, rng).choice for _ in range(20_000)]
    shares = [cast.count(choice) / len(cast) for choice in ("left", "right", "tie")]
    assert shares == pytest.approx(choice_weights(LOOKING, 0.8, 0.0), abs=0.01)


def test_the_careless_do_not_look():
    rng = np.random.default_rng(0)
    careless = Population(careless_share=1.0)
    cast = [vote(careless, 9.0, 0.0, rng).choice for _ in range(6000)]
    assert [cast.count(c) / 6000 for c in ("left", "right", "tie")] == pytest.approx(
        [1 / 3] * 3, abs=0.02
    )


def test_the_same_seed_casts_the_same_votes():
    def votes(seed):
        rng = np.random.default_rng(seed)
        tastes = draw_tastes(LOOKING, ["x", "y"], rng)
        return tastes, [vote(LOOKING, tastes["x"], tastes["y"], rng) for _ in range(20)]

    assert votes(3) == votes(3)
    assert votes(3) != votes(4)
    assert all(v.response_ms >= 600 for v in votes(3)[1])
