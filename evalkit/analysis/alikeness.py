"""How alike votes on one prompt are, and votes of one annotator: stated, or from a pilot."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from evalkit.analysis.clusters import ShareSums, share_sums
from evalkit.analysis.coding import encode
from evalkit.analysis.counting import counting
from evalkit.errors import EstimateError

_NODES = 60  # of Gauss-Hermite: exact to 1e-6 up to an sd of 4


@dataclass(frozen=True)
class Alikeness:
    """Correlations of two votes on one pair of models, in [0, 1], and where they come from.

    `prompt`: on the same prompt by different annotators; `annotator`: by the same annotator on
    different prompts. `n` are the votes that they were estimated from; 0 where they were stated.
    """

    prompt: float
    annotator: float
    source: str
    n: int = 0


def stated(share: float, prompt_sd: float, annotator_sd: float) -> Alikeness:
    """The correlations where the log-odds of a vote are a constant and two normal effects.

    `prompt_sd` and `annotator_sd` (>= 0) are the sds of the effects of prompt and annotator,
    `share` in (0, 1) the win rate over all of them; ties are left out. EstimateError on others.
    """
    for name, value in (("prompt sd", prompt_sd), ("annotator sd", annotator_sd)):
        if not 0 <= value < 10:
            raise EstimateError(f"{name} = {value:g}; allowed is 0 to 10 (log-odds); correct it")
    if not 0 < share < 1:
        raise EstimateError(f"win rate = {share:g}; allowed is a number between 0 and 1; give one")
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    likes, tastes = prompt_sd * nodes[:, None], annotator_sd * nodes[None, :]

    def chances(constant: float) -> np.ndarray:
        return expit(constant + likes + tastes)

    constant = brentq(lambda c: weights @ chances(c) @ weights - share, -60, 60, xtol=1e-10)
    won = chances(constant)
    spread = share * (1 - share)
    by_prompt, by_annotator = won @ weights, weights @ won
    return Alikeness(
        prompt=max(0.0, float(weights @ by_prompt**2 - share**2) / spread),
        annotator=max(0.0, float(weights @ by_annotator**2 - share**2) / spread),
        source=f"stated: log-odds with sd {prompt_sd:g} by prompt, {annotator_sd:g} by annotator",
    )


def of_pilot(comparisons: pd.DataFrame) -> Alikeness:
    """The correlations in votes that are there, over all questions and pairs of models.

    Products of the residuals of two votes that share a prompt (an annotator) but not the other,
    summed over all such twos and pairs of models, over their number and the variance of a vote.
    Negative ones become 0. Only comparisons of kind main count, ties half. EstimateError where no
    two votes share a prompt, or none an annotator, or nothing varies.
    """
    main = counting(comparisons)
    sums = [_sums_of(pair) for _, pair in main.groupby(["question_id", *_named(main)], sort=True)]
    squares = sum(s.cells.ss - 2 * s.share * s.cells.sn + s.share**2 * s.cells.nn for s in sums)
    n = sum(s.n for s in sums)
    if not squares:
        raise EstimateError(
            "pilot: its votes do not vary; allowed are votes of which some differ; take another"
        )
    found = []
    for kind in ("prompts", "annotators"):
        products = sum(getattr(s, kind).meat(s.share) - s.cells.meat(s.share) for s in sums)
        twos = sum(getattr(s, kind).nn - s.cells.nn for s in sums)
        if not twos:
            raise EstimateError(
                f"pilot: no two votes on one pair share one of the {kind}; allowed are votes with "
                "at least two on some; take another, or state --prompt-sd and --annotator-sd"
            )
        found.append(float(np.clip(products / twos / (squares / n), 0, 1)))
    return Alikeness(*found, source=f"pilot of {n:,} votes", n=n)


def _named(comparisons: pd.DataFrame) -> list[pd.Series]:
    """The two models of each row by name, whichever stands first."""
    names = np.sort(comparisons[["model_a", "model_b"]].to_numpy(dtype=object), axis=1)
    return [pd.Series(names[:, side], comparisons.index) for side in (0, 1)]


def _sums_of(pair: pd.DataFrame) -> ShareSums:
    coded = encode(pair)
    return share_sums(coded.points, coded.prompt, coded.annotator)
