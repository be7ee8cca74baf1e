"""Simulated annotators with stated preferences, bias and carelessness. Pure and seeded.

The choice model is Davidson's (1970): with utilities u and v of the left and right image, left,
right and tie have weights exp(u), exp(v) and nu * exp((u + v) / 2).
"""

from dataclasses import dataclass

import numpy as np

ATTENTION_GAP = 6.0  # log-odds in favour of the expected image of an attention check


@dataclass(frozen=True)
class Population:
    """What the simulated annotators have in common; utilities are log-odds.

    `taste_sd` is the spread over annotators of their liking for each model, `left_bias` a log-odds
    for the left side, `tie_weight` Davidson's nu, `careless_share` the share in [0, 1] of votes
    cast without looking, `median_ms` the median response time.
    """

    taste_sd: float = 0.3
    left_bias: float = 0.0
    tie_weight: float = 0.35
    careless_share: float = 0.02
    median_ms: float = 2500.0


@dataclass(frozen=True)
class SimulatedVote:
    """A choice (left, right or tie) and the time it took (ms)."""

    choice: str
    response_ms: int


def draw_tastes(
    population: Population, models: list[str], rng: np.random.Generator
) -> dict[str, float]:
    """One annotator's liking for each model: normal with mean 0 and sd `taste_sd`."""
    return {model: float(rng.normal(0, population.taste_sd)) for model in models}


def vote(
    population: Population,
    utility_left: float,
    utility_right: float,
    rng: np.random.Generator,
    *,
    tie_offered: bool = True,
) -> SimulatedVote:
    """One vote on two images of the given utilities; the response time is log-normal, >= 600 ms."""
    weights = choice_weights(population, utility_left, utility_right, tie_offered=tie_offered)
    if rng.random() < population.careless_share:
        weights = np.full(len(weights), 1 / len(weights))
    choice = ("left", "right", "tie")[rng.choice(len(weights), p=weights)]
    response_ms = max(600, round(population.median_ms * float(np.exp(rng.normal(0, 0.45)))))
    return SimulatedVote(choice, response_ms)


def choice_weights(
    population: Population, utility_left: float, utility_right: float, *, tie_offered: bool = True
) -> np.ndarray:
    """Probabilities of left, right and (where offered) tie of an annotator who looks."""
    gap = utility_left - utility_right + population.left_bias
    logits = [gap / 2, -gap / 2]
    if tie_offered and population.tie_weight > 0:
        logits.append(float(np.log(population.tie_weight)))
    weights = np.exp(np.array(logits) - max(logits))
    return weights / weights.sum()
