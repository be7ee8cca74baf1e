"""How many votes a preference needs to be seen: exact where votes are independent, else clustered.

Sources: Cohen 1988 (normal approximation); Chernick & Liu 2002 (the power of exact tests is a
sawtooth in n); Kish 1965 (design effect).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from evalkit.analysis.alikeness import Alikeness
from evalkit.analysis.intervals import wilson
from evalkit.errors import EstimateError

ALPHA = 0.05
MOST_PROMPTS = 1_000_000
CLOSEST = 0.005  # to 1/2: some 80,000 independent votes
_STRATA = 400  # of the estimated variance: the power is exact to 1e-4
METHOD = "two-way interval of a win rate; noncentral t at the effective n"


@dataclass(frozen=True)
class ExactVotes:
    """Independent votes that the exact two-sided binomial test needs.

    `first` is the least n with the power, `stable` the least from which on no larger n has less;
    `normal` is what the usual formula gives.
    """

    normal: int
    first: int
    stable: int


@dataclass(frozen=True)
class Power:
    """What n votes on one question and pair of models can show.

    `power` is the chance that the interval at level 1 - alpha leaves out 1/2 where the true win
    rate is the one asked about; `half_width` that of the 95% interval there. The mean of the votes
    varies as that of n over `design_effect` independent ones; `n_effective` is what the interval
    may be expected to take them for, which is less where its floor for the variance binds.
    """

    n_prompts: int
    votes_per_prompt: int
    n_annotators: int
    n: int
    design_effect: float
    n_effective: float
    power: float
    half_width: float

    def row(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def exact_power(n: np.ndarray, share: float, alpha: float = ALPHA) -> np.ndarray:
    """Power of the exact two-sided binomial test of 1/2 with n independent votes (each n >= 1).

    The test rejects where twice the smaller tail is at most `alpha`.
    """
    n = np.asarray(n)
    critical = stats.binom.ppf(alpha / 2, n, 0.5)
    critical -= stats.binom.cdf(critical, n, 0.5) > alpha / 2
    low = stats.binom.cdf(critical, n, share)
    return low + stats.binom.sf(n - critical - 1, n, share)


def normal_votes(share: float, power: float, alpha: float = ALPHA) -> float:
    """Independent votes by the normal approximation, not rounded."""
    _check(share, power, alpha)
    wanted = stats.norm.isf(alpha / 2) / 2 + stats.norm.ppf(power) * sqrt(share * (1 - share))
    return float((wanted / (share - 0.5)) ** 2)


def exact_votes(share: float, power: float, alpha: float = ALPHA) -> ExactVotes:
    """Independent votes for a true win rate `share`; see `ExactVotes`.

    EstimateError on a share outside (0, 1) or at 1/2, or a power or alpha outside (0, 1).
    """
    normal = normal_votes(share, power, alpha)
    # Beyond half as many again the teeth of the saw are shorter than what is gained.
    n = np.arange(1, ceil(1.5 * normal) + 200)
    enough = exact_power(n, share, alpha) >= power
    stable = int(np.flatnonzero(~enough)[-1]) + 1
    return ExactVotes(ceil(normal), int(n[enough.argmax()]), int(n[stable]))


def design_effect(
    n_prompts: int, votes_per_prompt: int, n_annotators: int, alike: Alikeness
) -> float:
    """How many of the votes are worth one independent vote; at least 1.

    1 + (m - 1) r_p + (k - 1) r_a for m votes on each prompt, by annotators drawn at random for it;
    k, the votes of the annotator who gave some vote, is then n / A + 1 - m / A on average. r_p and
    r_a are the correlations of `alike`.
    """
    by_prompt, by_annotator = _parts(n_prompts, votes_per_prompt, n_annotators, alike)
    return 1 + by_prompt + by_annotator


def _parts(
    n_prompts: int, votes_per_prompt: int, n_annotators: int, alike: Alikeness
) -> tuple[float, float]:
    """What prompts and annotators add to the variance of a mean, over that of independent votes."""
    per_annotator = n_prompts * votes_per_prompt / n_annotators
    others = max(0.0, per_annotator - votes_per_prompt / n_annotators)
    return (votes_per_prompt - 1) * alike.prompt, others * alike.annotator


def _floor_inflation(
    n_prompts: int, votes_per_prompt: int, n_annotators: int, alike: Alikeness
) -> float:
    """By how much the floor raises the estimated variance on average, as a factor.

    The estimate is never under the variance of independent votes (`significance.two_way_variance`).
    It is taken as normal about the true one, with the relative variances 2 / (P - 1) of its prompt
    part and 2 / (A - 1) of its annotator part. Where votes are alike the floor hardly ever binds.
    """
    by_prompt, by_annotator = _parts(n_prompts, votes_per_prompt, n_annotators, alike)
    effect = 1 + by_prompt + by_annotator
    sd = sqrt(
        2 / (n_prompts - 1) * (1 + by_prompt) ** 2
        + 2 / (n_annotators - 1) * (1 + by_annotator) ** 2
    )
    above = (effect - 1) / sd
    lift = sd * (stats.norm.pdf(above) - above * stats.norm.sf(above))
    return float(1 + lift / effect)


def power_of(
    share: float,
    n_prompts: int,
    votes_per_prompt: int,
    n_annotators: int,
    alike: Alikeness,
    alpha: float = ALPHA,
) -> Power:
    """What a study can show of a true win rate `share`, by its default interval.

    Each prompt has its votes from different annotators, so there must be as many. The last three
    numbers are NaN with fewer than two prompts or annotators, which have no interval. The power is
    that of a noncentral t; in simulated studies it was met within .02. EstimateError on a
    share outside (0, 1) or at 1/2, an alpha outside (0, 1) or too few annotators.
    """
    _check(share, 0.5, alpha)
    if votes_per_prompt > n_annotators:
        raise EstimateError(
            f"{votes_per_prompt} votes on a prompt by {n_annotators} annotators; each gives one at "
            f"most; allowed are up to {n_annotators}; ask for fewer votes or more annotators"
        )
    n, sizes = n_prompts * votes_per_prompt, (n_prompts, votes_per_prompt, n_annotators)
    effect = design_effect(*sizes, alike)
    if min(n_prompts, n_annotators) < 2:
        return Power(*sizes, n, effect, float("nan"), float("nan"), float("nan"))
    freedom = min(n_prompts, n_annotators) - 1
    effective = n / effect / _floor_inflation(*sizes, alike)
    sd = 2 * sqrt(share * (1 - share))  # of what the interval compares with t
    bound = stats.t.isf(alpha / 2, freedom) / sd * sqrt(n / effect / effective)
    gap = 2 * abs(share - 0.5) * sqrt(n / effect) / sd
    power = _outside(bound, freedom, gap)
    low, high = wilson(share, effective, float(stats.t.isf(ALPHA / 2, freedom)))
    return Power(*sizes, n, effect, effective, float(power), (high - low) / 2)


def _outside(bound: float, freedom: int, gap: float) -> float:
    """P(|T| > bound) for a noncentral t; by its mixture, since scipy's gives NaN at large gaps."""
    shares = (np.arange(_STRATA) + 0.5) / _STRATA
    bounds = bound * np.sqrt(stats.chi2.ppf(shares, freedom) / freedom)
    return float((stats.norm.sf(bounds - gap) + stats.norm.cdf(-bounds - gap)).mean())


def votes_needed(
    share: float,
    power: float,
    n_prompts: int,
    n_annotators: int,
    alike: Alikeness,
    alpha: float = ALPHA,
) -> Power | None:
    """The fewest votes on each prompt that reach the power; None where no number does.

    An annotator votes once on a prompt: there are no more votes on it than annotators.
    """
    _check(share, power, alpha)

    def found(votes: int) -> Power:
        return power_of(share, n_prompts, votes, n_annotators, alike, alpha)

    return _fewest(found, power, 1, n_annotators)


def prompts_needed(
    share: float,
    power: float,
    votes_per_prompt: int,
    n_annotators: int,
    alike: Alikeness,
    alpha: float = ALPHA,
) -> Power | None:
    """The fewest prompts that reach the power; None where a million do not.

    With a given number of annotators more prompts are worth ever less: what they have in common
    stays.
    """
    _check(share, power, alpha)

    def found(n_prompts: int) -> Power:
        return power_of(share, n_prompts, votes_per_prompt, n_annotators, alike, alpha)

    return _fewest(found, power, 2, MOST_PROMPTS)


def annotators_needed(
    share: float,
    power: float,
    n_prompts: int,
    votes_per_prompt: int,
    alike: Alikeness,
    alpha: float = ALPHA,
) -> Power | None:
    """The fewest annotators that reach the power; None where even one per vote does not."""
    _check(share, power, alpha)

    def found(annotators: int) -> Power:
        return power_of(share, n_prompts, votes_per_prompt, annotators, alike, alpha)

    return _fewest(found, power, max(2, votes_per_prompt), n_prompts * votes_per_prompt)


def _fewest(found: Callable[[int], Power], power: float, least: int, most: int) -> Power | None:
    """That of the least number, from `least` to `most`, which reaches the power; it grows."""
    if most < least or not found(most).power >= power:
        return None
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if found(middle).power >= power else (middle + 1, most)
    return found(least)


def power_table(
    share: float,
    n_prompts: int,
    alike: Alikeness,
    annotators: tuple[int, ...] = (5, 10, 20, 40, 80),
    votes: tuple[int, ...] = (1, 2, 4, 8, 16),
    alpha: float = ALPHA,
) -> pd.DataFrame:
    """The columns of `Power` for each number of annotators and of votes on each prompt.

    Without the rows in which a prompt has more votes than there are annotators.
    """
    rows = [
        power_of(share, n_prompts, each, people, alike, alpha).row()
        for people in annotators
        for each in votes
        if each <= people
    ]
    return pd.DataFrame(rows, columns=list(Power.__dataclass_fields__))


def _check(share: float, power: float, alpha: float) -> None:
    for name, value in (("win rate", share), ("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise EstimateError(
                f"{name} = {value:g}; allowed is a number between 0 and 1; give one"
            )
    if abs(share - 0.5) < CLOSEST:
        raise EstimateError(
            f"win rate = {share:g} is no preference that votes could show; allowed are those at "
            f"least {CLOSEST:g} from 0.5; give the smallest one that should be seen, such as 0.6"
        )
