"""Coincidences: votes of several annotators on the same, counted; and how sure their agreement is.

Sources: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability" (coincidences of values);
Hughes 2022, "Toward improved inference for Krippendorff's alpha" (jackknife, not bootstrap, for its
variance); Cameron, Gelbach & Miller 2011 (prompts and annotators together).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

Measure = Callable[[np.ndarray], np.ndarray]
_CHUNK = 2**22  # bootstrap weights drawn at once


@dataclass(frozen=True)
class Coincidences:
    """The n votes that share their unit with another annotator's, and the sums over units.

    `units` is u x (k + 1): a unit's votes for each of k values, and over its votes the share of the
    unit's other votes that have the same value. `without` is n x (k + 1): what the sums over all
    units lose where the vote is left out. `prompt` and `annotator` are the votes' codes from 0 on,
    `prompt_of_unit` the units'. `n_left_out` votes stand alone on their unit, or are an annotator's
    second on it.
    """

    units: np.ndarray
    without: np.ndarray
    prompt: np.ndarray
    annotator: np.ndarray
    prompt_of_unit: np.ndarray
    n_left_out: int

    @property
    def n(self) -> int:
        """Number of votes."""
        return len(self.without)

    @property
    def n_prompts(self) -> int:
        """Number of different prompts of these votes."""
        return len(np.unique(self.prompt))

    @property
    def n_annotators(self) -> int:
        """Number of different annotators of these votes."""
        return len(np.unique(self.annotator))


def coincidences(
    value: np.ndarray, unit: np.ndarray, annotator: np.ndarray, prompt: np.ndarray
) -> Coincidences:
    """The coincidences of votes, given as n-vectors of integer codes >= 0; units lie in prompts.

    Of an annotator's votes on one unit the first in the vectors counts.
    """
    once = ~pd.DataFrame({"unit": unit, "annotator": annotator}).duplicated().to_numpy()
    _, code, size = np.unique(unit[once], return_inverse=True, return_counts=True)
    used = np.flatnonzero(once)[size[code] > 1]
    _, first, code = np.unique(unit[used], return_index=True, return_inverse=True)
    value, who, where = value[used], _codes(annotator[used]), _codes(prompt[used])
    kinds = int(value.max()) + 1 if len(used) else 1
    counts = np.bincount(code * kinds + value, minlength=len(first) * kinds)
    units = _with_agreeing(counts.reshape(len(first), kinds))
    others = units[code, :kinds]
    others[np.arange(len(used)), value] -= 1
    pair = (others.sum(axis=1) == 1)[:, None]  # without the one, the other stands alone
    left = np.where(pair, 0.0, _with_agreeing(others))
    return Coincidences(
        units=units,
        without=units[code] - left,
        prompt=where,
        annotator=who,
        prompt_of_unit=where[first],
        n_left_out=len(unit) - len(used),
    )


def _with_agreeing(counts: np.ndarray) -> np.ndarray:
    """Counts (u x k) of the values on each unit, and beside them the sum of the shares alike."""
    each = counts.sum(axis=1)
    alike = (counts * (counts - 1)).sum(axis=1) / np.maximum(each - 1, 1)
    return np.column_stack([counts, alike]).astype(float)


def _codes(codes: np.ndarray) -> np.ndarray:
    return np.unique(codes, return_inverse=True)[1]


def observed(sums: np.ndarray) -> np.ndarray:
    """Observed agreement of sums (... x (k + 1)): the mean over votes of the share alike."""
    with np.errstate(invalid="ignore"):
        return sums[..., -1] / sums[..., :-1].sum(axis=-1)


def alpha(sums: np.ndarray) -> np.ndarray:
    """Krippendorff's nominal alpha of sums (... x (k + 1)); NaN where all values are the same."""
    values = sums[..., :-1]
    n = values.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = (values * (values - 1)).sum(axis=-1) / (n * (n - 1))
        return 1 - (1 - observed(sums)) / np.where(chance < 1, 1 - chance, np.nan)


def two_way_jackknife(found: Coincidences, measure: Measure) -> float:
    """Variance of a measure for new prompts and new annotators.

    That of leaving out prompts, plus that of leaving out annotators, less that of leaving out what
    one annotator gave on one prompt; never under that of prompts. NaN where the measure is not
    defined without some prompt or annotator.
    """
    total = found.units.sum(axis=0)
    cell = found.prompt.astype(np.int64) * (int(found.annotator.max()) + 1) + found.annotator
    by_prompt = _jackknife(measure, total, found.units, found.prompt_of_unit)
    by_annotator = _jackknife(measure, total, found.without, found.annotator)
    by_cell = _jackknife(measure, total, found.without, _codes(cell))
    return float(np.maximum(by_prompt + by_annotator - by_cell, by_prompt))


def _jackknife(measure: Measure, total: np.ndarray, lost: np.ndarray, codes: np.ndarray) -> float:
    """Variance from leaving out one cluster after the other; each loses its rows of `lost`."""
    sums = _sums(lost, codes)
    estimates = measure(np.round(total - sums, 9))  # counts, and fractions of small ones: no -1e-16
    size = len(sums)
    return float((size - 1) / size * ((estimates - estimates.mean()) ** 2).sum())


def bootstrap(found: Coincidences, measure: Measure, seed: int, replicates: int) -> np.ndarray:
    """The measure of `replicates` draws of as many prompts, with replacement; annotators stay."""
    sums = _sums(found.units, found.prompt_of_unit)
    rng, size = np.random.default_rng(seed), len(sums)
    step = max(1, _CHUNK // size)
    drawn = [
        rng.multinomial(size, np.full(size, 1 / size), size=min(step, replicates - done)) @ sums
        for done in range(0, replicates, step)
    ]
    return measure(np.concatenate(drawn))


def _sums(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sums of the rows with the same code from 0 on (clusters x columns)."""
    return np.column_stack([np.bincount(codes, weights=column) for column in rows.T])
