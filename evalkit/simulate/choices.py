"""What is drawn for simulated annotators, for one vote or a million: seats, effects, choices."""

from collections.abc import Collection
from enum import IntEnum

import numpy as np

from evalkit.simulate.population import Population, choice_weights

LEFT, RIGHT, TIE = range(3)


class Way(IntEnum):
    """How an annotator works."""

    LOOKS = 0
    STRAIGHT_LINES = 1
    SPEEDS = 2


def draw_different(rng: np.random.Generator, cells: tuple[int, ...], k: int, n: int) -> np.ndarray:
    """(*cells, k): in each cell `k` different numbers below `n`, every ordered choice as likely."""
    chosen = np.empty((*cells, k), dtype=np.int64)
    for i in range(k):
        drawn = rng.integers(n - i, size=cells)  # which of the numbers that are left
        for taken in np.moveaxis(np.sort(chosen[..., :i], axis=-1), -1, 0):
            drawn += drawn >= taken
        chosen[..., i] = drawn
    return chosen


def draw_effects(rng: np.random.Generator, sd: float, shape: tuple[int, ...]) -> np.ndarray:
    """Effects on single models (log-odds), such that the gap of any two has this sd."""
    return sd / np.sqrt(2) * rng.standard_normal(shape)


def draw_ways(
    rng: np.random.Generator, n: int, population: Population
) -> tuple[np.ndarray, np.ndarray]:
    """The `Way` of each of `n` annotators, and the side of their line, should it be straight.

    The shares are the population's, each annotator drawn by themselves.
    """
    drawn = rng.random(n)
    is_straight = drawn < population.straight_lining_share
    is_fast = ~is_straight & (drawn < population.unseeing_share)
    ways = np.select([is_straight, is_fast], [Way.STRAIGHT_LINES, Way.SPEEDS], Way.LOOKS)
    return ways, np.where(rng.random(n) < 0.5, LEFT, RIGHT)


def draw_choices(
    rng: np.random.Generator,
    gap: np.ndarray,
    way: np.ndarray,
    line: np.ndarray,
    population: Population,
    offered: Collection[int] = (LEFT, RIGHT, TIE),
) -> np.ndarray:
    """LEFT, RIGHT or TIE for each gap of the two images (left less right, log-odds).

    `way` and `line` (see `draw_ways`) are those of the vote's annotator. A tie comes only where it
    is among those `offered`, and from a population with a `tie_weight`.
    """
    gap = np.asarray(gap, dtype=float)
    tie_weight = population.tie_weight if TIE in offered else 0.0
    left, right, _ = choice_weights(gap + population.left_bias, tie_weight)
    drawn = rng.random(gap.shape)
    looked = (drawn >= left).astype(np.int64) + (drawn >= left + right)
    if tie_weight == 0:
        looked = np.minimum(looked, RIGHT)  # left + right may round to less than 1
    blind = np.floor(rng.random(gap.shape) * (2 if tie_weight == 0 else 3)).astype(np.int64)
    is_blind = (rng.random(gap.shape) < population.careless_share) | (way == Way.SPEEDS)
    return np.where(way == Way.STRAIGHT_LINES, line, np.where(is_blind, blind, looked))
