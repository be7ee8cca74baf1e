"""Does what can be read without looking tell the models apart? Permutation tests (pure, seeded)."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from evalkit.analysis.significance import holm

# With ten tells of three models: eight images of each are enough to see a complete order; an AUC of
# 0.85 is seen in 90 % of studies with 20 images of each, one of 0.75 in 98 % of those with 60.
LEVEL = 0.01  # chance that a study without any leak is failed, over all tells together (Holm)
MIN_EFFECT = 0.1  # a guess that is right in less than 60 % tells nobody anything of use
_PERMUTATIONS = 4_999  # the smallest p-value is 1 / 5000
_AT_ONCE = 250


@dataclass(frozen=True)
class Tell:
    """How well one observable tells who is who.

    `effect` is in [0, 0.5] and 0 without any connection: the chance above one half to be right in
    a guess between the two labels that are told apart best. `p_value` is of the hypothesis that
    there is no connection; 1 for an observable that is constant. `n` observations.
    """

    observable: str
    effect: float
    p_value: float
    n: int
    best: tuple[str, str] = ("", "")


def order_tell(observable: str, values: np.ndarray, labels: np.ndarray, seed: int) -> Tell:
    """Whether some labels have larger values: Kruskal and Wallis's H, by permutation of the labels.

    The effect is the largest distance of an AUC from 1/2 over all pairs of labels.
    Source: Kruskal and Wallis (1952), Use of ranks in one-criterion variance analysis.
    """
    values, codes, names = _coded(values, labels)
    if len(names) < 2 or len(np.unique(values)) < 2:
        return Tell(observable, 0.0, 1.0, len(values))
    ranks = (rankdata(values) - (len(values) + 1) / 2)[np.argsort(codes, kind="stable")]
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes

    def statistic(permuted: np.ndarray) -> np.ndarray:
        return (np.add.reduceat(permuted, starts, axis=1) ** 2 / sizes).sum(axis=1)

    effect, best = _largest_auc(values, codes, names)
    return Tell(observable, effect, _p_value(statistic, ranks, seed), len(values), best)


def cluster_tell(observable: str, values: np.ndarray, labels: np.ndarray, seed: int) -> Tell:
    """Whether like labels lie beside each other when sorted by value, wherever that is.

    For distinct values. The statistic is the number of neighbours with the same label, by
    permutation of the labels; the effect is half the share of neighbours that are alike beyond
    chance. Source: Mood (1940), The distribution theory of runs.
    """
    values, codes, names = _coded(values, labels)
    if len(names) < 2:
        return Tell(observable, 0.0, 1.0, len(values))
    codes = codes[np.argsort(values, kind="stable")]

    def statistic(permuted: np.ndarray) -> np.ndarray:
        return (permuted[:, 1:] == permuted[:, :-1]).sum(axis=1)

    sizes, n = np.bincount(codes), len(codes)
    expected = (sizes * (sizes - 1)).sum() / (n * (n - 1))
    share = statistic(codes[None])[0] / (n - 1)
    effect = 0.0 if expected == 1 else max(0.0, (share - expected) / (1 - expected) / 2)
    return Tell(observable, float(effect), _p_value(statistic, codes, seed), n)


def side_tell(observable: str, on_left: np.ndarray, labels: np.ndarray, seed: int) -> Tell:
    """Whether within some label the flag is not as often true as false, against fair coins.

    The effect is the largest distance of a label's share from 1/2. Sides that are balanced by
    design vary less than coins do: then the test is on the safe side.
    """
    on_left, codes, names = _coded(on_left, labels)
    if not names:
        return Tell(observable, 0.0, 1.0, 0)
    sizes = np.bincount(codes)
    counts = np.bincount(codes, weights=on_left)
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(sizes, 0.5, (_PERMUTATIONS, len(sizes)))
    found = ((2 * counts - sizes) ** 2 / sizes).sum()
    among = ((2 * drawn - sizes) ** 2 / sizes).sum(axis=1)
    distances = np.abs(counts / sizes - 0.5)
    worst = int(distances.argmax())
    p_value = (1 + (among >= found - 1e-9).sum()) / (1 + _PERMUTATIONS)
    return Tell(observable, float(distances[worst]), p_value, len(codes), (names[worst], ""))


def telling(tells: list[Tell]) -> list[bool]:
    """Which of them give models away: Holm's p-value at most LEVEL, and an effect of MIN_EFFECT."""
    adjusted = holm(np.array([tell.p_value for tell in tells]))
    return [
        bool(p <= LEVEL and tell.effect >= MIN_EFFECT)
        for p, tell in zip(adjusted, tells, strict=True)
    ]


def _coded(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    return np.asarray(values), codes, [str(name) for name in names]


def _p_value(
    statistic: Callable[[np.ndarray], np.ndarray], observed: np.ndarray, seed: int
) -> float:
    """The share of permutations whose statistic is as large; `statistic` takes rows of them."""
    rng = np.random.default_rng(seed)
    found = statistic(observed[None])[0]
    as_large, left = 0, _PERMUTATIONS
    while left:
        n = min(_AT_ONCE, left)
        permuted = rng.permuted(np.tile(observed, (n, 1)), axis=1)
        as_large += int((statistic(permuted) >= found * (1 - 1e-9)).sum())
        left -= n
    return (1 + as_large) / (1 + _PERMUTATIONS)


def _largest_auc(
    values: np.ndarray, codes: np.ndarray, names: list[str]
) -> tuple[float, tuple[str, str]]:
    largest, best = 0.0, ("", "")
    for first, second in itertools.combinations(range(len(names)), 2):
        ours, theirs = values[codes == first], values[codes == second]
        ranks = rankdata(np.concatenate([ours, theirs]))
        auc = (ranks[: len(ours)].mean() - (len(ours) + 1) / 2) / len(theirs)
        if abs(auc - 0.5) > largest:
            largest, best = abs(float(auc) - 0.5), (names[first], names[second])
    return largest, best
