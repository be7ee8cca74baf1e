"""The population model: how simulated annotators choose, for single votes and whole tables alike.

One vote on two images has three weights (Davidson 1970),

    left: exp(g / 2)    right: exp(-g / 2)    tie: nu

where g, a log-odds, is the gap between the left and the right image plus the bias to the left. The
gap between two models is the difference of their stated strengths, plus an effect of the prompt
(normal with mean 0; `prompt_sd` is the sd of the gap over prompts), plus an effect of the annotator
(likewise, `annotator_sd`). Both are drawn for each model and question anew, a model's own with the
sd divided by the square root of 2, so that the gaps of three or more models fit together. Some
votes are cast without looking, and some annotators never look.
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.optimize import brentq

from evalkit.errors import EvalkitError

_NODES = 80  # of Gauss-Hermite; exact to 1e-9 up to an sd of 4
_WIDEST = 40.0  # log-odds; no gap is sought beyond


@dataclass(frozen=True)
class Population:
    """What the simulated annotators have in common.

    `prompt_sd` and `annotator_sd` are sds of the gap between two models (log-odds, >= 0);
    `tie_weight` is Davidson's nu (>= 0; 0: nobody presses tie); `left_bias` a log-odds for the left
    side. Shares in [0, 1]: `careless_share` of all votes are cast without looking, each choice
    equally likely; of the annotators, `straight_lining_share` press one side all the time (left or
    right, each as likely as the other) and `speeding_share` press anything, faster than anybody
    can look. `seconds_per_vote` (over 0, up to 3600) is the mean of those who look.
    EvalkitError on a value out of its range.
    """

    prompt_sd: float = 0.0
    annotator_sd: float = 0.0
    tie_weight: float = 0.0
    left_bias: float = 0.0
    careless_share: float = 0.0
    straight_lining_share: float = 0.0
    speeding_share: float = 0.0
    seconds_per_vote: float = 6.0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))
        if self.straight_lining_share + self.speeding_share > 1:
            raise EvalkitError(
                f"simulate: straight_lining_share = {self.straight_lining_share:g} and "
                f"speeding_share = {self.speeding_share:g} are more than all annotators; allowed "
                "is a sum of at most 1; lower one"
            )

    @property
    def unseeing_share(self) -> float:
        """The share of annotators who never look."""
        return self.straight_lining_share + self.speeding_share


def choice_weights(gap: np.ndarray, tie_weight: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of left, right and tie of who looks, in the shape of `gap` (g, see above)."""
    small = np.exp(-np.abs(gap) / 2)  # the weights over the larger of left and right
    better, worse, tie = np.ones_like(small), small**2, tie_weight * small
    total = better + worse + tie
    is_left = np.asarray(gap) >= 0
    left, right = np.where(is_left, better, worse), np.where(is_left, worse, better)
    return left / total, right / total, tie / total


def expected_share(gap: float, population: Population) -> float:
    """The win rate, ties half, of a model whose stated strength is larger by `gap` (log-odds).

    The truth that an estimate is after: over all prompts, annotators and sides. By Gauss-Hermite
    quadrature over the sum of both effects.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    gaps = gap + np.hypot(population.prompt_sd, population.annotator_sd) * nodes
    sides = (population.left_bias, -population.left_bias)
    looked = np.mean([_mean_points(gaps + bias, population.tie_weight) for bias in sides], axis=0)
    blind = 1 - (1 - population.careless_share) * (1 - population.unseeing_share)
    return float((1 - blind) * (looked @ weights / weights.sum()) + blind / 2)


def gap_of(share: float, population: Population) -> float:
    """The gap of strengths (log-odds) at which the expected win rate is `share`, in (0, 1).

    EvalkitError where no gap leads to it: those who do not look keep the share near one half.
    """

    def excess(gap: float) -> float:
        return expected_share(gap, population) - share

    if excess(-_WIDEST) > 0 or excess(_WIDEST) < 0:
        least, most = (expected_share(gap, population) for gap in (-_WIDEST, _WIDEST))
        raise EvalkitError(
            f"simulate: no gap of strengths gives a win rate of {share:g} in this population; "
            f"allowed are {least:.3f} to {most:.3f}; ask for one of these"
        )
    return float(brentq(excess, -_WIDEST, _WIDEST, xtol=1e-12))


def _mean_points(gap: np.ndarray, tie_weight: float) -> np.ndarray:
    left, _, tie = choice_weights(gap, tie_weight)
    return left + tie / 2


def _check(name: str, value: float) -> None:
    allowed, holds = {
        "left_bias": ("any number", np.isfinite(value)),
        "seconds_per_vote": ("a number above 0 and up to 3600", 0 < value <= 3600),
    }.get(name, ("0 or more", 0 <= value < np.inf))
    if name.endswith("_share"):
        allowed, holds = "0 to 1", 0 <= value <= 1
    if not holds:
        raise EvalkitError(f"simulate: {name} = {value:g}; allowed is {allowed}; correct it")
