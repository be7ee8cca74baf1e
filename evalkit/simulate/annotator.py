"""One simulated annotator, who votes on one trial after the other."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.simulate.choices import (
    LEFT,
    RIGHT,
    TIE,
    Way,
    draw_choices,
    draw_effects,
    draw_ways,
)
from evalkit.simulate.population import Population
from evalkit.simulate.times import response_times

CHECK_GAP = 6.0  # log-odds in favour of the right image of a check
WORDS = {LEFT: "left", RIGHT: "right", TIE: "tie"}


@dataclass(frozen=True)
class SimulatedVote:
    """A choice (left, right or tie) and the time it took (ms)."""

    choice: str
    response_ms: int


class SimulatedAnnotator:
    """One of a population, whose way to work and tastes are drawn from `rng` at once.

    `rng` is theirs alone: the same generator gives the same annotator and the same votes. `tastes`
    (log-odds) are by question and model.
    """

    def __init__(
        self,
        population: Population,
        questions: Sequence[str],
        models: Sequence[str],
        rng: np.random.Generator,
    ) -> None:
        self.rng = rng
        self._population = population
        self._ways, self._lines = draw_ways(rng, 1, population)
        drawn = draw_effects(rng, population.annotator_sd, (len(questions), len(models)))
        self.tastes = {
            (question, model): float(drawn[q, m])
            for q, question in enumerate(questions)
            for m, model in enumerate(models)
        }

    @property
    def way(self) -> Way:
        """How they work."""
        return Way(int(self._ways[0]))

    def vote(
        self, gap: float, offered: Collection[str] = ("left", "right", "tie"), wait_ms: int = 0
    ) -> SimulatedVote:
        """A vote on two images whose utilities lie `gap` apart (left less right, log-odds).

        Their own taste is in the gap already. `offered` are the choices of the question; a vote
        takes at least `wait_ms`.
        """
        codes = [code for code, word in WORDS.items() if word in offered]
        gaps = np.array([gap])
        choice = draw_choices(self.rng, gaps, self._ways, self._lines, self._population, codes)
        took = response_times(self.rng, self._ways == Way.SPEEDS, self._population, wait_ms)
        return SimulatedVote(WORDS[int(choice[0])], int(took[0]))
