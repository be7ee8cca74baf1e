"""The paper's Elo: K = 1 from 1000, ties left out, the votes in many random orders.

Sources: Elo 1978; Sauer et al. 2023, Adversarial Diffusion Distillation (K, start, 1000 orders,
mean of the questions). It depends on K, on the order and on how many votes there are, and the
spread over orders is no interval: the rating of `ratings` is the estimate.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp
from scipy.special import expit

from evalkit import tables
from evalkit.analysis.coding import FIRST_WON, CodedVotes, encode
from evalkit.analysis.counting import counting, labelled
from evalkit.analysis.finite import require_finite
from evalkit.analysis.matchups import count
from evalkit.errors import EstimateError
from evalkit.tables import MEAN_OF_QUESTIONS

ORDERS = 1000  # of the paper
LOG_ODDS_PER_POINT = np.log(10) / 400
SPREAD = (0.025, 0.975)  # over the orders
_STEPS = 256  # whose codes are laid out at once


def elo(
    comparisons: pd.DataFrame,
    *,
    k: float = 1,
    start: float = 1000,
    orders: int = ORDERS,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per question and model (`tables.ELO`), best first within a question.

    `elo` is the mean over `orders` random orders of the votes, `elo_low`..`elo_high` hold 95% of
    the orders (no interval for the model). `mean_field` is what the counts alone give, by the
    differential equation dR_i/dt = K sum_j (w_ij - n_ij p_ij), t in [0, 1]. Ties and both_bad are
    not counted; `n` counts a model's other votes. With two questions or more, those of question
    "mean of questions" are the means of a model's Elo on each, NaN where it lacks on one.

    Elo is finite even where ratings are not: `method` says so then. A model without a decided vote
    has NaN. Only comparisons of kind main count, where kinds are given, and none that is excluded.
    No comparisons give an empty table. EstimateError where `k` is not over 0 or `orders` not at
    least 1.
    """
    if not (k > 0 and orders >= 1):
        raise EstimateError(f"elo: k = {k}, orders = {orders}; allowed are over 0 and at least 1")
    about = {"orders": orders, "seed": seed}
    rows, by_question = [], []
    for question_id, asked in counting(comparisons).groupby("question_id", sort=True):
        votes = encode(asked)
        votes = votes.take(votes.is_decided)
        rng = np.random.default_rng([seed, *question_id.encode()])  # whatever else is asked
        final = _in_random_orders(votes, k, start, orders, rng)
        table = _summary(votes, final, k, start)
        by_question.append((votes.models, final, table))
        rows += [{"question_id": question_id, **row, **about} for row in table]
    if len(by_question) > 1:
        rows += [
            {"question_id": MEAN_OF_QUESTIONS, **row, **about} for row in _means(by_question, k)
        ]
    frame = pd.DataFrame(rows) if rows else tables.ELO.empty()
    return labelled(tables.check(frame, tables.ELO, "elo"), comparisons)


def elo_in_order(
    first: np.ndarray,
    second: np.ndarray,
    points: np.ndarray,
    size: int,
    *,
    k: float = 1,
    start: float = 1000,
) -> np.ndarray:
    """The Elo of `size` models after votes in the order given (n-vectors of model codes).

    `points` are what the first model got: 1, 0, or 0.5 for a tie, which then does count.
    """
    scores = [float(start)] * size
    for i, j, won in zip(first.tolist(), second.tolist(), points.tolist(), strict=True):
        change = k * (won - 1 / (1 + 10 ** ((scores[j] - scores[i]) / 400)))
        scores[i] += change
        scores[j] -= change
    return np.array(scores)


def mean_field(wins: np.ndarray, *, k: float = 1, start: float = 1000) -> np.ndarray:
    """The Elo that a table of wins (k x k) gives where the order is averaged out.

    The votes flow in evenly over t in [0, 1]: dR_i/dt = K sum_j (w_ij - n_ij p_ij).
    """
    games = wins + wins.T

    def slope(_: float, scores: np.ndarray) -> np.ndarray:
        gaps = scores[:, None] - scores[None, :]
        return k * (wins - games * expit(LOG_ODDS_PER_POINT * gaps)).sum(axis=1)

    flow = solve_ivp(
        slope, (0, 1), np.full(len(wins), float(start)), "LSODA", [1.0], rtol=1e-9, atol=1e-7
    )
    if not flow.success:
        raise EstimateError(f"no mean-field Elo: {flow.message}")
    return flow.y[:, -1]


def _in_random_orders(
    votes: CodedVotes, k: float, start: float, orders: int, rng: np.random.Generator
) -> np.ndarray:
    """Elo after all votes, for each of many random orders of them (orders x models).

    All orders take a step together; step by step, each order has its own vote. Shuffled are the
    votes sorted, so that what is drawn is free of the order in which they stand.
    """
    size = len(votes.models)
    won = votes.outcome == FIRST_WON
    winner = np.where(won, votes.first, votes.second)
    loser = np.where(won, votes.second, votes.first)
    pair = np.sort(winner.astype(np.int64) * size + loser)
    bits = max(1, (size - 1).bit_length())
    both = np.arange(size**2) // size << bits | np.arange(size**2) % size  # winner, then loser
    both = both.astype(np.min_scalar_type(4**bits - 1))
    order = np.empty((orders, votes.n), both.dtype)
    for row in order:
        both.take(_shuffled(pair, size**2, rng), out=row)
    lane = np.arange(orders) * size
    gained = np.zeros(orders * size)  # since the start, in log-odds
    most = k * LOG_ODDS_PER_POINT
    for begin in range(0, votes.n, _STEPS):
        steps = np.ascontiguousarray(order[:, begin : begin + _STEPS].T)
        winners, losers = (steps >> bits) + lane, (steps & 2**bits - 1) + lane
        for up, down in zip(winners, losers, strict=True):
            high, low = gained.take(up), gained.take(down)
            change = high - low
            np.exp(change, out=change)
            change += 1
            np.divide(most, change, out=change)
            high += change
            low -= change
            gained[up] = high
            gained[down] = low
    return start + gained.reshape(orders, size) / LOG_ODDS_PER_POINT


def _shuffled(codes: np.ndarray, span: int, rng: np.random.Generator) -> np.ndarray:
    """Codes 0 .. span - 1 in a random order.

    Each is put behind a random number and the numbers are sorted: less than half the time of
    swapping them one by one.
    """
    bits = span.bit_length()
    keys = rng.integers(2 ** (63 - bits), size=len(codes)) << bits | codes
    keys.sort()
    return keys & (2**bits - 1)


def _summary(votes: CodedVotes, final: np.ndarray, k: float, start: float) -> list[dict[str, Any]]:
    matchups = count(votes)
    counts = matchups.wins.sum(axis=0) + matchups.wins.sum(axis=1)
    field = mean_field(matchups.wins, k=k, start=start)
    caveat = ""
    try:
        require_finite(matchups)
    except EstimateError as error:
        caveat = f"; {error}, so this one only tells how many votes there were"
    return _rows(votes.models, final, field, counts, f"{_method(k, len(final))}{caveat}")


def _rows(
    models: tuple[str, ...], final: np.ndarray, field: np.ndarray, counts: np.ndarray, method: str
) -> list[dict[str, Any]]:
    middle, (low, high) = final.mean(axis=0), np.quantile(final, SPREAD, axis=0)
    rows = []
    for i in np.argsort(-np.where(np.isnan(middle), -np.inf, middle), kind="stable"):
        known = counts[i] > 0 and not np.isnan(middle[i])
        numbers = (middle[i], low[i], high[i], field[i]) if known else [np.nan] * 4
        names = ("elo", "elo_low", "elo_high", "mean_field")
        lacking = "no votes on one of the questions" if counts[i] > 0 else "no decided vote"
        rows.append(
            {
                "model": models[i],
                **dict(zip(names, numbers, strict=True)),
                "n": int(counts[i]),
                "method": method if known else f"not estimated: {lacking}; {method}",
            }
        )
    return rows


def _means(
    by_question: list[tuple[tuple[str, ...], np.ndarray, list[dict[str, Any]]]], k: float
) -> list[dict[str, Any]]:
    """The rows of the mean over questions, of each model's orders one by one."""
    models = tuple(sorted({name for names, _, _ in by_question for name in names}))
    final = np.full((len(by_question), len(by_question[0][1]), len(models)), np.nan)
    field = np.full((len(by_question), len(models)), np.nan)
    counts = np.zeros(len(models))
    for question, (names, scores, table) in enumerate(by_question):
        for row in table:
            model = models.index(row["model"])
            if row["n"]:
                final[question, :, model] = scores[:, names.index(row["model"])]
                field[question, model] = row["mean_field"]
            counts[model] += row["n"]
    method = f"{_method(k, final.shape[1])}; mean of {len(by_question)} questions"
    return _rows(models, final.mean(axis=0), field.mean(axis=0), counts, method)


def _method(k: float, orders: int) -> str:
    paper = "paper" if orders >= ORDERS else f"{orders:,} of the paper's {ORDERS} orders"
    return f"Elo (K={k:g}{f', {paper}' if k == 1 else ''})"
