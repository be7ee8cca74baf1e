"""Paired-comparison models fitted to votes, with a covariance clustered by prompt and annotator.

Newton's method on the counts of pairs; then one pass over the votes for the sandwich.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from evalkit.analysis import bradley_terry, davidson, rao_kupper
from evalkit.analysis.choice_model import ChoiceModel, Terms
from evalkit.analysis.coding import CodedVotes
from evalkit.analysis.finite import require_finite
from evalkit.analysis.matchups import OUTCOMES, SIDES, Matchups, count, place, vote_codes
from evalkit.analysis.sandwich import Meat, VoteScores, meat
from evalkit.errors import EstimateError, listed

MODELS = {model.name: model for model in (bradley_terry.MODEL, davidson.MODEL, rao_kupper.MODEL)}
MAX_STEPS = 100
TOLERANCE = 1e-10  # largest change of a parameter in the last step
TWO_WAY = "two-way (prompt x annotator) sandwich, t"


@dataclass(frozen=True)
class Fit:
    """A fitted model: log-odds strengths with mean zero over k models, and what else it has.

    `parameters` are the strengths, then the logarithm of the tie parameter and the position effect
    where each is fitted; `bread`, `covariance` and `floor` (p x p) are in the same order. `bread`
    is the inverse information: the covariance if votes were independent. `covariance` is the
    two-way sandwich, and `floor` what a variance is never under: the sandwich clustered by
    prompt-annotator cells or, with a prior, the bread. Both are NaN with fewer than two prompts or
    annotators. `tie_parameter` is Davidson's nu or Rao and Kupper's theta, `position_effect` a
    log-odds in favour of the left image; each is NaN where the model has none. `prior` is the
    standard deviation of a normal prior on the strengths. `deviance` compares the fit with the
    shares observed in each row of counts, on `freedom` degrees.
    """

    model: str
    models: tuple[str, ...]
    parameters: np.ndarray
    bread: np.ndarray
    covariance: np.ndarray
    floor: np.ndarray
    tie_parameter: float
    position_effect: float
    prior: float | None
    log_likelihood: float
    deviance: float
    freedom: int
    n: float
    n_prompts: int
    n_annotators: int
    method: str
    converged: bool = True

    @property
    def strengths(self) -> np.ndarray:
        """Log-odds with mean zero over the models."""
        return self.parameters[: len(self.models)]

    @property
    def position_se(self) -> float:
        """Standard error of the position effect; NaN where there is none."""
        if np.isnan(self.position_effect):
            return float("nan")
        return float(np.sqrt(self.variance(np.eye(len(self.parameters))[-1])))

    @property
    def frame(self) -> pd.DataFrame:
        """Columns model, strength and se (log-odds, against the mean of the models), best first."""
        centred = np.eye(len(self.models)) - 1 / len(self.models)
        errors = [np.sqrt(self.variance(contrast)) for contrast in centred]
        frame = pd.DataFrame({"model": self.models, "strength": self.strengths, "se": errors})
        return frame.sort_values("strength", ascending=False, kind="stable", ignore_index=True)

    def variance(self, contrast: np.ndarray) -> float:
        """Variance of a contrast of the strengths, or of all parameters; never under the floor."""
        lacking = len(self.parameters) - len(contrast)
        contrast = np.concatenate([contrast, np.zeros(lacking)])
        two_way = contrast @ self.covariance @ contrast
        return float(np.maximum(two_way, contrast @ self.floor @ contrast))

    def difference_variances(self) -> np.ndarray:
        """Variances of all differences of two strengths (k x k); never under the floor."""
        size = len(self.models)
        parts = []
        for full in (self.covariance, self.floor):
            square = full[:size, :size]
            own = np.diag(square)
            parts.append(own[:, None] + own[None, :] - 2 * square)
        return np.maximum(*parts)


def fit(
    votes: CodedVotes,
    model: str = "bradley-terry",
    position: bool = False,
    prior: float | None = None,
    small_sample: bool = True,
) -> Fit:
    """One model's strengths with their two-way clustered sandwich covariance.

    `model` is one of `MODELS`: in bradley-terry ties and both_bad count half, in davidson and
    rao-kupper they are a third outcome. `position` adds an effect of the side. `prior` is the
    standard deviation of a normal prior on the strengths; it makes the strengths of a model that
    never lost finite. `small_sample` multiplies each part of the sandwich by G / (G - 1).
    Raises EstimateError where no finite estimate exists (`finite.require_finite`), where a side is
    unknown and `position` is asked for, or where Newton's method does not converge.
    """
    matchups = count(votes, sides=position)
    fitted = fit_counts(matchups, model, position, prior)
    codes = vote_codes(votes, sides=position)
    by_gap, others = _scores(fitted, matchups)
    by_gap, *others = (_by_code(scores, matchups)[codes] for scores in (by_gap, *others))
    return with_clusters(fitted, meat(votes, VoteScores(by_gap, tuple(others))), small_sample)


def fit_counts(
    matchups: Matchups,
    model: str = "bradley-terry",
    position: bool = False,
    prior: float | None = None,
) -> Fit:
    """The same from counts alone: no clusters are known, so covariance and floor are NaN.

    With `position` the matchups must tell sides apart. Raises as `fit` does.
    """
    if model not in MODELS:
        raise EstimateError(f"model: found {model}; allowed are {listed(MODELS)}; correct it")
    require_prior(prior)
    chosen = MODELS[model]
    own_ties = chosen.tie_start is not None
    has_ties = own_ties and bool(np.any(matchups.tied))
    require_finite(matchups, ties=has_ties, position=position, prior=prior is not None)
    fitted = chosen if has_ties or not own_ties else bradley_terry.MODEL
    problem = _Problem(matchups, fitted, has_ties, position, prior)
    parameters = problem.maximum()
    unknown = np.full((len(parameters), len(parameters)), np.nan)
    terms = problem.terms(parameters)
    deviance, freedom = _deviance(matchups, terms, own_ties, problem.freedom)
    return Fit(
        model=model,
        models=matchups.models,
        parameters=parameters,
        bread=problem.bread(parameters),
        covariance=unknown,
        floor=unknown,
        tie_parameter=float(np.exp(problem.tie(parameters))) if has_ties else chosen.without_ties,
        position_effect=float(parameters[-1]) if position else float("nan"),
        prior=prior,
        log_likelihood=float((problem.counts * terms.log_chance).sum()),
        deviance=deviance,
        freedom=freedom,
        n=matchups.n,
        n_prompts=0,
        n_annotators=0,
        method=_method(chosen, own_ties and not has_ties, position, prior),
    )


def require_prior(prior: float | None) -> None:
    """EstimateError unless the prior is None or a standard deviation."""
    if prior is not None and not (np.isfinite(prior) and prior > 0):
        raise EstimateError(
            f"prior: found {prior}; allowed is a standard deviation over 0; correct it or leave "
            "it out"
        )


def with_clusters(fitted: Fit, clustered: Meat, small_sample: bool = True) -> Fit:
    """The fit with the covariance that the meat of its votes' scores gives."""
    two_way, cells = clustered.two_way(small_sample=small_sample)
    floor = fitted.bread @ cells @ fitted.bread
    if fitted.prior is not None and not np.isnan(floor).any():
        floor = fitted.bread
    return replace(
        fitted,
        covariance=fitted.bread @ two_way @ fitted.bread,
        floor=floor,
        n_prompts=clustered.n_prompts,
        n_annotators=clustered.n_annotators,
    )


def _method(chosen: ChoiceModel, is_reduced: bool, position: bool, prior: float | None) -> str:
    clauses = [f"{chosen.title}, {TWO_WAY}"]
    if is_reduced:
        clauses.append("without a tie it is Bradley-Terry")
    if position:
        clauses.append("with a position effect")
    if prior is not None:
        clauses.append(f"normal prior with sd {prior:g} on the log-odds")
    return "; ".join(clauses)


@dataclass(frozen=True)
class _Problem:
    """The likelihood of counts under a model, as a function of its parameters."""

    matchups: Matchups
    model: ChoiceModel
    ties: bool
    position: bool
    prior: float | None

    @cached_property
    def counts(self) -> np.ndarray:
        """Votes per outcome and matchup, 3 x m."""
        return np.stack([self.matchups.won, self.matchups.lost, self.matchups.tied])

    @property
    def freedom(self) -> int:
        """Number of parameters that are free: the strengths have mean zero."""
        return self.matchups.size - 1 + self.ties + self.position

    @cached_property
    def design(self) -> np.ndarray:
        """The m x p matrix that takes parameters to gaps."""
        columns = [self.matchups.gaps]
        if self.ties:
            columns.append(np.zeros((len(self.matchups.first), 1)))
        if self.position:
            columns.append(self.matchups.left[:, None])
        return np.hstack(columns)

    def tie(self, parameters: np.ndarray) -> float:
        """The logarithm of the tie parameter; NaN where there is none."""
        return float(parameters[self.matchups.size]) if self.ties else float("nan")

    def terms(self, parameters: np.ndarray) -> Terms:
        return self.model.terms(self.design @ parameters, self.tie(parameters))

    def value(self, parameters: np.ndarray) -> float:
        """Log-likelihood, and log-prior where there is one; NaN outside the parameters' range."""
        value = float((self.counts * self.terms(parameters).log_chance).sum())
        return value - float(self._penalty() @ parameters**2) / 2

    def maximum(self) -> np.ndarray:
        """The parameters at the maximum, by Newton's method; EstimateError where it fails."""
        parameters = self._start()
        value = self.value(parameters)
        for _ in range(MAX_STEPS):
            gradient, information = self._derivatives(parameters)
            step = np.linalg.solve(information, gradient)
            largest = float(np.abs(step).max())
            step /= max(1.0, largest)  # a log-odds moves by one at most
            while not self._improves(parameters + step, value):
                step /= 2
                if np.abs(step).max() < TOLERANCE:
                    raise EstimateError("no rating: the likelihood does not grow along its slope")
            parameters = parameters + step
            value = self.value(parameters)
            if largest < TOLERANCE:
                parameters[: self.matchups.size] -= parameters[: self.matchups.size].mean()
                return parameters
        raise EstimateError(f"no rating: not converged after {MAX_STEPS} steps")

    def bread(self, parameters: np.ndarray) -> np.ndarray:
        """The inverse information, of strengths with mean zero."""
        _, information = self._derivatives(parameters)
        ones = self._ones()
        return np.linalg.inv(information) - np.outer(ones, ones) / (ones @ information @ ones)

    def _improves(self, parameters: np.ndarray, value: float) -> bool:
        """Whether the value is no less than before, but for rounding."""
        return self.value(parameters) >= value - 1e-9 * abs(value) - 1e-12

    def _start(self) -> np.ndarray:
        parameters = np.zeros(self.matchups.size + self.ties + self.position)
        if self.ties and self.model.tie_start is not None:
            share = float(self.matchups.tied.sum()) / self.matchups.n
            parameters[self.matchups.size] = self.model.tie_start(share)
        return parameters

    def _penalty(self) -> np.ndarray:
        weights = np.zeros(self.matchups.size + self.ties + self.position)
        if self.prior is not None:
            weights[: self.matchups.size] = 1 / self.prior**2
        return weights

    def _ones(self) -> np.ndarray:
        """The direction that changes no gap: all strengths alike."""
        return np.where(np.arange(len(self._penalty())) < self.matchups.size, 1.0, 0.0)

    def _derivatives(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and observed information, the latter regular.

        The likelihood leaves the strengths' mean open; a term along that direction makes the
        information regular and changes no step, for the mean is and stays zero.
        """
        terms, counts, design = self.terms(parameters), self.counts, self.design
        gradient = design.T @ (counts * terms.by_gap).sum(axis=0) - self._penalty() * parameters
        curve = (counts * terms.gap_gap).sum(axis=0)
        information = -(design.T * curve) @ design + np.diag(self._penalty())
        if self.ties:
            tie = self.matchups.size
            gradient[tie] += (counts * terms.by_tie).sum()
            cross = design.T @ (counts * terms.gap_tie).sum(axis=0)
            information[tie, :] -= cross
            information[:, tie] -= cross
            information[tie, tie] -= (counts * terms.tie_tie).sum()
        ones = self._ones()
        scale = np.trace(information[: self.matchups.size, : self.matchups.size])
        information += np.outer(ones, ones) * scale / self.matchups.size**2
        return gradient, information


def score_matrix(fitted: Fit, matchups: Matchups) -> np.ndarray:
    """What one vote adds to the slope of the log-likelihood: rows x outcomes x p parameters.

    Rows are those of the matchups, outcomes those of `coding`. With votes c counted by row and
    outcome in each cluster, the clusters' scores are c J for this J; so a meat is J' (sum c c') J.
    """
    by_gap, others = _scores(fitted, matchups)
    matrix = by_gap[:, :, None] * matchups.gaps[:, None, :]
    return np.concatenate([matrix, *(other[:, :, None] for other in others)], axis=2)


def _scores(fitted: Fit, matchups: Matchups) -> tuple[np.ndarray, list[np.ndarray]]:
    """A vote's scores by the gap, and by the tie parameter and the position effect where fitted.

    Each is rows x outcomes; tie and both_bad are one outcome to every model.
    """
    ties = len(fitted.parameters) > fitted.strengths.size + (not np.isnan(fitted.position_effect))
    position = not np.isnan(fitted.position_effect)
    chosen = MODELS[fitted.model] if ties else bradley_terry.MODEL
    problem = _Problem(matchups, chosen, ties, position, fitted.prior)
    terms = problem.terms(fitted.parameters)
    others = [terms.by_tie] if ties else []
    if position:
        others.append(terms.by_gap * matchups.left)
    by_gap, *others = (column[[0, 1, 2, 2]].T for column in (terms.by_gap, *others))
    return by_gap, others


def _by_code(scores: np.ndarray, matchups: Matchups) -> np.ndarray:
    """Scores (rows x outcomes) in the flat table that `vote_codes` points into."""
    table = np.zeros(matchups.size**2 * SIDES * OUTCOMES)
    table[place(matchups)[:, None] + np.arange(OUTCOMES)] = scores
    return table


def _deviance(
    matchups: Matchups, terms: Terms, own_ties: bool, parameters: int
) -> tuple[float, int]:
    """Twice the log-likelihood that the fit lacks to the observed shares, and its freedom."""
    won, lost, tied = matchups.won, matchups.lost, matchups.tied
    log_chance = terms.log_chance
    if own_ties:
        seen = np.stack([won, lost, tied]).astype(float)
    else:
        seen = np.stack([won + tied / 2, lost + tied / 2])
        log_chance = log_chance[:2]
    share = seen / seen.sum(axis=0)
    log_share = np.log(share, out=np.zeros_like(share), where=share > 0)
    # An outcome never seen and of no chance (no ties at all) weighs nothing.
    gap = np.where(seen > 0, log_share - log_chance, 0.0)
    rows = len(matchups.first) * (2 if own_ties and tied.any() else 1)
    return float(2 * (seen * gap).sum()), rows - parameters
