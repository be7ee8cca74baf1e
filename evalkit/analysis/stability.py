"""How much ratings change without one annotator, or without one prompt."""

from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.bradley_terry import fit_strengths
from evalkit.analysis.coding import CodedVotes, encode
from evalkit.analysis.counting import counting, labelled
from evalkit.analysis.finite import is_finite, require_finite
from evalkit.analysis.matchups import count
from evalkit.errors import EstimateError

DROPPED = {"annotator": "annotator_id", "prompt": "prompt_id"}
METHOD = "Bradley-Terry without one {dropped} at a time; ties and both_bad count half"
_ENTRIES = 2**22  # of the win tables that are fitted at once
_SAME = 1e-9  # strengths this near are one rank


def stability(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Two rows per question and model (`tables.STABILITY`): without each annotator, each prompt.

    `rating` (log-odds, mean zero) and `rank` are those of all votes; `largest_change` is the
    largest change of the rating that leaving out one annotator or prompt makes (with its sign), and
    `without` is whom or what. `rank_low`..`rank_high` is the range of the model's rank over those
    fits. `n_refitted` of `n_clusters` could be fitted; without the others no finite ratings exist,
    and where there are some, `method` says so. Where nothing could be fitted the numbers are NaN
    and `method` says why. Only comparisons of kind main count, where kinds are given, and none
    that is excluded. No comparisons give an empty table. Source: Quenouille 1956 (leaving out one).
    """
    rows = []
    for question_id, asked in counting(comparisons).groupby("question_id", sort=True):
        votes = encode(asked)
        for dropped, column in DROPPED.items():
            codes, names = pd.factorize(asked[column], sort=True)
            found = _without_each(votes, codes, np.asarray(names), dropped)
            rows += [{"question_id": question_id, "dropped": dropped, **row} for row in found]
    frame = pd.DataFrame(rows) if rows else tables.STABILITY.empty()
    return labelled(tables.check(frame, tables.STABILITY, "stability"), comparisons)


def _without_each(
    votes: CodedVotes, codes: np.ndarray, names: np.ndarray, dropped: str
) -> list[dict[str, Any]]:
    matchups = count(votes)
    method = METHOD.format(dropped=dropped)
    try:
        require_finite(matchups)
        full = fit_strengths(matchups.wins)
    except EstimateError as error:
        return [_row(model, len(names), f"{error}; {method}") for model in votes.models]
    fitted, strengths = _refit(votes, codes, len(names), full)
    if not fitted.any():
        reason = f"no finite ratings without any one {dropped}; {method}"
        return [_row(model, len(names), reason) for model in votes.models]
    if not fitted.all():
        method += f"; without {names[~fitted][0]}" + _and_others(int((~fitted).sum()) - 1)
        method += " no finite ratings exist"
    changes = strengths - full
    largest = np.abs(changes).argmax(axis=0)
    rank, ranks = _ranks(full), _ranks(strengths)
    return [
        _row(votes.models[i], len(names), method)
        | {
            "rating": full[i],
            "largest_change": changes[largest[i], i],
            "without": names[fitted][largest[i]],
            "rank": rank[i],
            "rank_low": ranks[:, i].min(),
            "rank_high": ranks[:, i].max(),
            "n_refitted": len(strengths),
        }
        for i in np.argsort(-full, kind="stable")
    ]


def _refit(
    votes: CodedVotes, codes: np.ndarray, clusters: int, full: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which clusters can be left out, and the strengths without each of those (rows x models)."""
    total = count(votes).wins
    size = len(votes.models)
    at_once = max(1, _ENTRIES // size**2)
    fitted, strengths = [], [np.empty((0, size))]
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(0, clusters + at_once, at_once))
    for block, first in enumerate(range(0, clusters, at_once)):
        rows = order[bounds[block] : bounds[block + 1]]
        part, group = votes.take(rows), codes[rows] - first
        remaining = total - _wins_by(part, group, min(at_once, clusters - first))
        finite = is_finite(remaining)
        fitted.append(finite)
        if finite.any():
            strengths.append(fit_strengths(remaining[finite], full))
    return np.concatenate(fitted), np.concatenate(strengths)


def _wins_by(votes: CodedVotes, group: np.ndarray, groups: int) -> np.ndarray:
    """Tables of points by group (groups x k x k), from votes with codes 0 .. groups - 1."""
    size = len(votes.models)
    start = group.astype(np.int64) * size
    points, length = votes.points, groups * size**2
    won = np.bincount((start + votes.first) * size + votes.second, points, length)
    lost = np.bincount((start + votes.second) * size + votes.first, 1 - points, length)
    return (won + lost).reshape(groups, size, size)


def _ranks(strengths: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, 1 the strongest; models that tie share the better rank."""
    above = strengths[..., None, :] > strengths[..., :, None] + _SAME
    return 1.0 + above.sum(axis=-1)


def _row(model: str, clusters: int, method: str) -> dict[str, Any]:
    unknown = dict.fromkeys(("rating", "largest_change", "rank", "rank_low", "rank_high"), np.nan)
    counts = {"n_refitted": 0, "n_clusters": clusters}
    return {"model": model, **unknown, "without": "", **counts, "method": method}


def _and_others(count: int) -> str:
    if not count:
        return ""
    return f" (and {count} other{'s' if count > 1 else ''}, each)"
