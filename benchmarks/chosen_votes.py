"""Votes of simulated studies whose pairs are chosen by a policy of the design."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evalkit.analysis.coding import FIRST_WON, SECOND_WON, CodedVotes
from evalkit.analysis.matchups import Matchups
from evalkit.design.policy import matchup_chances
from evalkit.simulate import Population
from evalkit.simulate.choices import draw_effects

MODELS = tuple("abcdefgh")
FIRST, SECOND = np.array(list(combinations(range(len(MODELS)), 2))).T
MATCHUPS = len(FIRST)
PROMPTS = 100
AT_WORK = 10  # annotators who vote at the same time, all on the same results
TRIALS = 40  # of each annotator
UNIFORM = 1.0  # as a share of uniform choice: the policy without results


@dataclass(frozen=True)
class Scale:
    """Models in a row, the best first: `gaps` (log-odds) from each to the next."""

    name: str
    gaps: tuple[float, ...]
    horizon: int  # votes after which nobody looks any more
    first_look: int

    @property
    def strengths(self) -> np.ndarray:
        """Log-odds with mean zero, falling."""
        down = -np.cumsum((0.0, *self.gaps))
        return down - down.mean()

    @property
    def matchup_gaps(self) -> np.ndarray:
        """Log-odds of the first model against the second, by matchup; all above zero."""
        return self.strengths[FIRST] - self.strengths[SECOND]

    @property
    def looks(self) -> np.ndarray:
        """Numbers of votes, each 6% more than the one before."""
        steps = np.log(self.horizon / self.first_look) / np.log(1.06)
        return np.unique(np.geomspace(self.first_look, self.horizon, int(steps) + 1).astype(int))


@dataclass(frozen=True)
class Votes:
    """n votes in order: matchup, prompt and annotator codes, and whether the first model won."""

    matchup: np.ndarray
    prompt: np.ndarray
    annotator: np.ndarray
    won: np.ndarray

    @property
    def coded(self) -> CodedVotes:
        """The same as the analysis takes them."""
        return CodedVotes(
            models=MODELS,
            first=FIRST[self.matchup],
            second=SECOND[self.matchup],
            outcome=np.where(self.won, FIRST_WON, SECOND_WON),
            prompt=self.prompt,
            annotator=self.annotator,
            left=np.zeros(len(self.won), dtype=np.int8),
        )


def cast(
    scale: Scale, share: float, n: int, population: Population, rng: np.random.Generator
) -> Votes:
    """The n votes of one study whose matchups are chosen with this share of uniform choice.

    Within a matchup the prompt with fewest votes is next, and among equals a random one; with
    UNIFORM so it is within all pairs of images. `AT_WORK` annotators vote at a time, then the
    results are read anew; after `TRIALS` votes each, others take their seats.
    """
    vote = np.arange(n)
    annotator = vote // (AT_WORK * TRIALS) * AT_WORK + vote % AT_WORK
    size = len(MODELS)
    likes = draw_effects(rng, population.prompt_sd, (PROMPTS, size))
    tastes = draw_effects(rng, population.annotator_sd, (int(annotator[-1]) + 1 + AT_WORK, size))
    liked, own = (effects[:, FIRST] - effects[:, SECOND] for effects in (likes, tastes))
    luck = rng.logistic(size=n)  # under a gap g by a chance of expit(g)
    if share == UNIFORM:
        matchup, prompt = _spread(n, rng)
        gap = scale.matchup_gaps[matchup] + liked[prompt, matchup] + own[annotator, matchup]
        return Votes(matchup, prompt, annotator, luck < gap)
    matchup, prompt, won = np.empty(n, int), np.empty(n, int), np.empty(n, bool)
    gaps, draws = scale.matchup_gaps + liked, rng.random(n)
    counts = np.zeros((MATCHUPS, 3), dtype=int)
    queues: list[list[int]] = [[] for _ in range(MATCHUPS)]
    for start in range(0, n, AT_WORK):
        now = slice(start, min(n, start + AT_WORK))
        edges = np.cumsum(matchup_chances(counts, share))
        drawn = np.searchsorted(edges / edges[-1], draws[now], side="right")
        matchup[now], prompt[now] = drawn, [_next(queues[m], rng) for m in drawn.tolist()]
        own_gap = gaps[prompt[now], drawn] + own[annotator[now], drawn]
        won[now] = luck[now] < own_gap
        np.add.at(counts, (drawn, np.where(won[now], 0, 1)), 1)
    return Votes(matchup, prompt, annotator, won)


def _spread(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Matchup and prompt of n votes: every pair of images once, in random order, then again."""
    rounds = -(-n // (MATCHUPS * PROMPTS))
    pairs = np.concatenate([rng.permutation(MATCHUPS * PROMPTS) for _ in range(rounds)])[:n]
    return pairs // PROMPTS, pairs % PROMPTS


def _next(queue: list[int], rng: np.random.Generator) -> int:
    if not queue:
        queue += rng.permutation(PROMPTS).tolist()
    return queue.pop()


def matchups_of(won: np.ndarray, n: np.ndarray) -> Matchups:
    """Counts by matchup as the models take them; those without votes are left out."""
    seen = n > 0
    none = np.zeros(int(seen.sum()))
    return Matchups(
        MODELS, FIRST[seen], SECOND[seen], none.astype(int), won[seen], (n - won)[seen], none
    )
