"""Win rates per question and pair of models, with intervals clustered by prompt and annotator."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.analysis.coding import CodedVotes, encode
from evalkit.analysis.counting import counting, labelled
from evalkit.analysis.intervals import INTERVALS, LEVEL, REPLICATES, require_level, share
from evalkit.analysis.result import Result
from evalkit.analysis.significance import holm, sign_test
from evalkit.analysis.ties import RULES, points_of, require_rule
from evalkit.errors import EstimateError, listed

OUTCOME_COLUMNS = ("wins_a", "wins_b", "ties", "both_bad")  # in the order of the outcome codes


def win_rates(
    comparisons: pd.DataFrame,
    *,
    ties: str = "half",
    interval: str = "two-way",
    by: str | None = None,
    level: float = LEVEL,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """One row per question and pair (`tables.WIN_RATES`), sorted by question and models.

    `win_rate_a` is the share in [0, 1] of comparisons that model_a (the first by name) won, under
    the rule for `ties` (`ties.RULES`); `n`, n_prompts and n_annotators count the votes that the
    rule counts, wins_a, wins_b, ties and both_bad all of them; both_bad_share is of all.
    `interval` is one of `intervals.INTERVALS`, at `level`; n_effective is how many independent
    votes it rests on. `p_value` tests 1/2 and agrees with the interval; `p_sign` is the exact sign
    test over the means of the prompts. `p_holm` is Holm's over the pairs of one question, and
    p_holm_all over every row of the table.

    With `by`, a column such as category, a row is of a question, pair and value of that column
    (columns by and value), and the pairs of all values are one family. A bootstrap draws
    `replicates` with `seed`, which stands in a column then.

    Only comparisons of kind main that no rule excludes count. What cannot be estimated is NaN, and
    `method` says why first. No comparisons give an empty table. EstimateError on an option that is
    not allowed, or a `by` that is no column; TableError on comparisons that `counting.checked`
    refuses. Where votes are simulated, every row says so (vote_source).
    """
    require_rule(ties)
    require_level(level)
    if interval not in INTERVALS:
        raise EstimateError(f"interval: found {interval}; allowed are {listed(INTERVALS)}")
    if by is not None and by not in comparisons.columns:
        raise EstimateError(
            f"by: no column {by}; the votes have {listed(comparisons.columns)}; name one of them"
        )
    options = {"level": level, "seed": seed, "replicates": replicates}
    rows = []
    for question_id, asked in counting(comparisons).groupby("question_id", sort=True):
        family = []
        for sliced, votes in _slices(asked, by):
            for names, pair in pairs_of(votes):
                row = _estimate(pair, ties, interval, options)
                family.append({"question_id": question_id, **names, **sliced, **row})
        rows += corrected(family, "p_holm", f"Holm over the {_pairs(by)} of the question")
    frame = pd.DataFrame(corrected(rows, "p_holm_all")) if rows else tables.WIN_RATES.empty()
    return labelled(tables.check(frame, tables.WIN_RATES, "win rates"), comparisons)


def pairs_of(votes: CodedVotes) -> Iterator[tuple[dict[str, str], CodedVotes]]:
    """Each pair of models (model_a, model_b by name) and its votes, in order."""
    pair = votes.first * len(votes.models) + votes.second
    order = np.argsort(pair, kind="stable")
    found, starts = np.unique(pair[order], return_index=True)
    for code, rows in zip(found, np.split(order, starts[1:]), strict=True):
        first, second = divmod(int(code), len(votes.models))
        yield {"model_a": votes.models[first], "model_b": votes.models[second]}, votes.take(rows)


@dataclass(frozen=True)
class PairCounts:
    """What of a pair stands in its row beside the estimate.

    `outcomes` counts the votes for the first model, for the second, ties and both_bad; `p_sign` is
    the p-value of the sign test over prompt means.
    """

    outcomes: tuple[int, int, int, int]
    p_sign: float


def win_rate_row(result: Result, counts: PairCounts, ties: str, interval: str) -> dict[str, Any]:
    """A row of `tables.WIN_RATES` without its question, models and p_holm."""
    total = sum(counts.outcomes)
    row = {
        **dict(zip(OUTCOME_COLUMNS, counts.outcomes, strict=True)),
        "n": result.n,
        "n_prompts": result.n_prompts,
        "n_annotators": result.n_annotators,
        "win_rate_a": result.estimate,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "p_value": result.p_value,
        "p_sign": counts.p_sign,
        "n_effective": result.n_effective,
        "both_bad_share": counts.outcomes[3] / total if total else np.nan,
        "ties_rule": ties,
        "interval": interval,
        "method": f"{result.method}; {RULES[ties]}",
    }
    return row if result.seed is None else {**row, "seed": result.seed}


def prompt_means(points: np.ndarray, prompt: np.ndarray) -> np.ndarray:
    """The mean of the points of each prompt that has any."""
    _, row = np.unique(prompt, return_inverse=True)
    return np.bincount(row, points) / np.bincount(row)


def _slices(asked: pd.DataFrame, by: str | None) -> Iterator[tuple[dict[str, str], CodedVotes]]:
    """The votes of a question, or of each value of a column, with what names them in a row."""
    votes = encode(asked)
    if by is None:
        yield {}, votes
        return
    codes, values = pd.factorize(asked[by].astype(object).fillna(""), sort=True)
    for code, value in enumerate(values):
        yield {"by": by, "value": str(value)}, votes.take(codes == code)


def _estimate(
    pair: CodedVotes, ties: str, interval: str, options: dict[str, Any]
) -> dict[str, Any]:
    points, kept = points_of(pair, ties)
    prompt = pair.prompt[kept]
    result = share(points, prompt, pair.annotator[kept], interval, **options)
    counts = PairCounts(
        outcomes=tuple(np.bincount(pair.outcome, minlength=len(OUTCOME_COLUMNS)).tolist()),
        p_sign=sign_test(prompt_means(points, prompt)).p_value,
    )
    return win_rate_row(result, counts, ties, interval)


def _pairs(by: str | None) -> str:
    return "pairs" if by is None else f"pairs and values of {by}"


def corrected(rows: list[dict[str, Any]], column: str, clause: str = "") -> list[dict[str, Any]]:
    """The rows with their p-values corrected as one family, and the method saying so."""
    adjusted = holm(np.array([row["p_value"] for row in rows]))
    said = f"; {clause}" if clause else ""
    return [
        {**row, column: p, "method": row["method"] + said}
        for row, p in zip(rows, adjusted, strict=True)
    ]
