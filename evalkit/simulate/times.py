"""How long simulated annotators take over a vote."""

import numpy as np

from evalkit.simulate.population import Population

_SPREAD = 0.45  # sd of the logarithm
_LEAST = 0.25  # of the mean: nobody who looks is faster
_FAST_MS = 250.0  # what those who speed take on average, beyond the time the page makes them wait


def response_times(
    rng: np.random.Generator, is_fast: np.ndarray, population: Population, wait_ms: float = 0
) -> np.ndarray:
    """Milliseconds (whole, in the shape of `is_fast`) of votes; log-normal, and no less than both
    a quarter of the mean and `wait_ms`, before which the page takes no vote.

    The mean is the population's `seconds_per_vote`. Who speeds takes a quarter of a second on
    average after `wait_ms`.
    """
    factor = np.exp(rng.normal(-(_SPREAD**2) / 2, _SPREAD, np.shape(is_fast)))  # its mean is 1
    mean = 1000 * population.seconds_per_vote
    looking = np.maximum(mean * np.maximum(factor, _LEAST), wait_ms)
    return np.rint(np.where(is_fast, wait_ms + _FAST_MS * factor, looking)).astype(np.int64)
