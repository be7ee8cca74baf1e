"""Which of the pairs that may be shown comes next: all alike, or close matchups more often."""

from collections.abc import Mapping

import numpy as np
from scipy.special import betainc

from evalkit.design.plan import TrialPlan

Results = Mapping[tuple[str, str], tuple[int, int, int]]


def choose_pair(
    plan: TrialPlan,
    question_id: str,
    candidates: np.ndarray,
    counts: np.ndarray,
    results: Results,
    rng: np.random.Generator,
) -> int:
    """The place of one of the `candidates` (places, at least one), by the policy of the design.

    `uniform`: the one with the fewest votes and open trials; among equals the one issued least
    (trials that were left open and expired count there only); then at random. `adaptive`: a matchup
    is drawn by `matchup_chances`, then in it a pair likewise. `counts` are those of
    `Tallies.counts`; `results` the votes (a, b, ties) by (question_id, matchup), none where it has
    no entry.
    """
    if plan.design.policy == "adaptive":
        numbers = plan.matchup_numbers[candidates]
        present = np.flatnonzero(np.bincount(numbers))
        votes = [results.get((question_id, plan.matchups[n]), (0, 0, 0)) for n in present]
        chances = matchup_chances(np.array(votes), plan.design.uniform_share)
        candidates = candidates[numbers == rng.choice(present, p=chances)]
    issued, voted, opened = counts[:, candidates]
    given = voted + opened
    fewest = given == given.min()
    candidates, issued = candidates[fewest], issued[fewest]
    return int(rng.choice(candidates[issued == issued.min()]))


def matchup_chances(votes: np.ndarray, uniform_share: float) -> np.ndarray:
    """How likely each matchup is to be shown next; `votes` (a, b, ties) of shape (matchups, 3).

    `uniform_share` is spread evenly; the rest in proportion to the doubt about the order. All even
    where there is no doubt left. The chances sum to 1. How many votes a matchup gets depends on its
    first votes, so the intervals of the closest matchups hold 1 to 3 points less often than they
    say; the even share softens that and does not cure it (docs/statistics.md, Choosing pairs).
    """
    doubt = misordering(votes)
    even = np.full(len(votes), 1 / len(votes))
    if doubt.sum() == 0:
        return even
    return uniform_share * even + (1 - uniform_share) * doubt / doubt.sum()


def misordering(votes: np.ndarray) -> np.ndarray:
    """Posterior probability that the better-looking side of each matchup is the worse one.

    `votes` (a, b, ties) has shape (matchups, 3); ties count half for each side. From a uniform
    prior on the chance that a wins, hence Beta(1 + wins of a, 1 + wins of b) after the votes: 1/2
    without votes or with equal ones, towards 0 with evidence. Source: Gelman et al., Bayesian Data
    Analysis, 3rd ed. (2013), section 2.4.
    """
    wins_a, wins_b = votes[:, 0] + votes[:, 2] / 2, votes[:, 1] + votes[:, 2] / 2
    return betainc(1 + np.maximum(wins_a, wins_b), 1 + np.minimum(wins_a, wins_b), 0.5)
