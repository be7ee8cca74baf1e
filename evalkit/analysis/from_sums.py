"""Result tables from sums of votes: the same numbers as from the votes themselves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.freedom import Compared
from evalkit.analysis.intervals import LEVEL, share_from
from evalkit.analysis.matchups import Matchups
from evalkit.analysis.paired_models import fit_counts, score_matrix, with_clusters
from evalkit.analysis.ratings import MODEL_OF, rating_rows, unrated_rows
from evalkit.analysis.result import Result
from evalkit.analysis.sandwich import Meat
from evalkit.analysis.sides import side_row
from evalkit.analysis.significance import holm, sign_test_of
from evalkit.analysis.ties import RULES
from evalkit.analysis.vote_sums import BOTH_BAD, OUTCOMES, TIE, Clustered, VoteSums
from evalkit.analysis.win_rates import PairCounts, corrected, win_rate_row
from evalkit.errors import EstimateError

_NO_SIDES = Result(np.nan, np.nan, np.nan, 0, "not estimated: no votes")
_RATED = {"half": "half", "drop": "drop", "model": "half"}  # the votes that a rule for ties counts


def win_rates_of(
    sums: Mapping[str, VoteSums],
    *,
    ties: str = "half",
    interval: str = "two-way",
    level: float = LEVEL,
) -> pd.DataFrame:
    """What `win_rates` gives (`tables.WIN_RATES`), from the sums of each question's votes.

    `interval` is any but the bootstrap, which needs single votes.
    """
    rows = []
    for question_id, one in sorted(sums.items()):
        family = [
            {
                "question_id": question_id,
                "model_a": one.layout.models[one.layout.first[pair]],
                "model_b": one.layout.models[one.layout.second[pair]],
                **_win_rate(one, pair, ties, interval, level),
            }
            for pair in range(len(one.counts))
        ]
        rows += corrected(family, "p_holm", "Holm over the pairs of the question")
    frame = pd.DataFrame(corrected(rows, "p_holm_all")) if rows else tables.WIN_RATES.empty()
    return tables.check(frame, tables.WIN_RATES, "win rates")


def tie_rules_of(
    sums: Mapping[str, VoteSums], *, interval: str = "two-way", level: float = LEVEL
) -> pd.DataFrame:
    """What `tie_rules` gives (`tables.TIE_RULES`), from the sums of each question's votes."""
    parts = [win_rates_of(sums, ties=rule, interval=interval, level=level) for rule in RULES]
    frame = pd.concat(parts, ignore_index=True) if len(parts[0]) else tables.TIE_RULES.empty()
    frame = frame.sort_values(["question_id", "model_a", "model_b"], kind="stable")
    return tables.check(frame, tables.TIE_RULES, "tie rules")


def left_share_of(
    pairs: Mapping[str, VoteSums],
    sides: Mapping[str, VoteSums],
    *,
    interval: str = "two-way",
    level: float = LEVEL,
) -> pd.DataFrame:
    """What `left_share` gives (`tables.LEFT_SHARE`), from sums by pair and by side.

    `sides` has, of each question with votes whose sides are known, the sums of one pair: the left
    image against the right one.
    """
    rows = []
    for question_id, one in sorted(pairs.items()):
        n = int(one.counts.sum())
        results, outcomes = [_NO_SIDES, _NO_SIDES], (0, 0, 0, 0)
        if question_id in sides:
            lay = sides[question_id]
            results = [
                share_from(lay.share_sums(0, rule), interval, level=level)
                for rule in ("drop", "half")
            ]
            outcomes = tuple(lay.counts[0].tolist())
        rows.append({"question_id": question_id, **side_row(*results, outcomes, n - sum(outcomes))})
    if not rows:
        return tables.LEFT_SHARE.empty()
    frame = pd.DataFrame(rows)
    frame["p_holm"] = holm(frame["p_value"].to_numpy())
    return tables.check(frame, tables.LEFT_SHARE, "left share")


def ratings_of(
    sums: Mapping[str, VoteSums], *, ties: str = "half", level: float = LEVEL
) -> pd.DataFrame:
    """What `ratings` gives (`tables.RATINGS`), from the sums of each question's votes."""
    rows = []
    for question_id, one in sorted(sums.items()):
        rows += [{"question_id": question_id, **row} for row in _rate(one, ties, level)]
    frame = pd.DataFrame(rows) if rows else tables.RATINGS.empty()
    return tables.check(frame, tables.RATINGS, "ratings")


def _win_rate(sums: VoteSums, pair: int, ties: str, interval: str, level: float) -> dict[str, Any]:
    result = share_from(sums.share_sums(pair, ties), interval, level=level)
    ahead, behind = int(sums.by_prompt.ahead[pair]), int(sums.by_prompt.behind[pair])
    counts = PairCounts(
        outcomes=tuple(sums.counts[pair].tolist()), p_sign=sign_test_of(ahead, behind).p_value
    )
    return win_rate_row(result, counts, ties, interval)


def _rate(sums: VoteSums, ties: str, level: float) -> list[dict[str, Any]]:
    layout, rule = sums.layout, _RATED[ties]
    kept = layout.kept(rule).reshape(-1, OUTCOMES)
    counts = sums.counts * kept
    compared = _compared(sums, counts, rule)
    voted = np.flatnonzero(counts.any(axis=1))
    matchups = Matchups(
        models=layout.models,
        first=layout.first[voted],
        second=layout.second[voted],
        left=np.zeros(len(voted), dtype=int),
        won=counts[voted, 0],
        lost=counts[voted, 1],
        tied=counts[voted, TIE] + counts[voted, BOTH_BAD],
    )
    try:
        fitted = fit_counts(matchups, MODEL_OF[ties])
    except EstimateError as error:
        return unrated_rows(layout.models, compared.votes, str(error), ties=ties)
    scores = np.zeros((len(counts), OUTCOMES, len(fitted.parameters)))
    scores[voted] = score_matrix(fitted, matchups) * kept[voted][:, :, None]
    clustered = _meat(sums, scores.reshape(layout.size, -1), rule)
    return rating_rows(with_clusters(fitted, clustered), compared, ties=ties, level=level)


def _compared(sums: VoteSums, counts: np.ndarray, rule: str) -> Compared:
    """Votes of each pair that has some, and the clusters that they share."""
    layout, votes = sums.layout, counts.sum(axis=1)
    m, voted = len(layout.first), np.flatnonzero(votes)
    models = slice(m, m + len(layout.models))
    kinds = (sums.by_prompt.prompts, sums.annotators)
    return Compared(
        layout.first[voted],
        layout.second[voted],
        votes[voted],
        *(kind.of_pairs(layout, rule)[np.ix_(voted, voted)] for kind in kinds),
        *(kind.present[rule][models] for kind in kinds),
    )


def _meat(sums: VoteSums, scores: np.ndarray, rule: str) -> Meat:
    """The meat of a sandwich; `scores` (codes x p) are those of one vote."""
    kinds: tuple[Clustered, ...] = (sums.by_prompt.prompts, sums.annotators, sums.by_prompt.cells)
    counts = (int(kind.present[rule][-1]) for kind in kinds)
    return Meat(*(scores.T @ kind.gram @ scores for kind in kinds), *counts)
