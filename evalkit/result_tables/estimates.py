"""Comparisons -> every result table: the headline with the exclusions applied, and beside it."""

from collections.abc import Callable
from functools import partial

import pandas as pd

from evalkit import tables
from evalkit.analysis.agreement import agreement
from evalkit.analysis.elo import elo
from evalkit.analysis.exclusions import counted, with_and_without
from evalkit.analysis.ratings import ratings
from evalkit.analysis.sides import left_share
from evalkit.analysis.stability import stability
from evalkit.analysis.tie_rules import tie_rules
from evalkit.analysis.win_rates import win_rates
from evalkit.result_tables.options import Options

TABLES = {
    "comparisons": tables.COMPARISONS,
    "win_rates": tables.WIN_RATES,
    "tie_rules": tables.TIE_RULES,
    "sides": tables.LEFT_SHARE,
    "ratings": tables.RATINGS,
    "stability": tables.STABILITY,
    "elo": tables.ELO,
    "agreement": tables.AGREEMENT,
    "annotators": tables.ANNOTATORS,
    "exclusions": tables.EXCLUSIONS,
    "anytime": tables.ANYTIME,
    "sensitivity": tables.SENSITIVITY,
    "scores": tables.MEAN_SCORES,
    "speed": tables.SPEED,
}
SLICED = "win_rates_by_"  # the win rates by a column stand in a table named after it

_ELO_ORDERS = 1000
_ELO_STEPS = (
    10**8
)  # votes over all orders; more votes get fewer orders, and the table says how many
_LEAST_ORDERS = 50


def estimates(comparisons: pd.DataFrame, options: Options) -> dict[str, pd.DataFrame]:
    """The result tables of votes in memory, by name, each labelled where votes are simulated.

    `comparisons` may have a column excluded_by: all tables count only the rows where it is empty,
    and `sensitivity` has every headline number with and without them.
    """
    kept = counted(comparisons).drop(columns="excluded_by", errors="ignore")
    rated = partial(
        win_rates, ties=options.share_rule, interval=options.interval, level=options.level,
        seed=options.seed,
    )  # fmt: skip
    headline = {
        "win_rates": rated,
        "ratings": partial(ratings, ties=options.ties, level=options.level),
        "sides": partial(left_share, level=options.level),
    }
    results = {name: estimate(kept) for name, estimate in headline.items()}
    if options.by is not None:
        results[SLICED + options.by] = rated(kept, by=options.by)
    results |= {
        "tie_rules": tie_rules(kept, level=options.level),
        "stability": stability(kept),
        "elo": elo(kept, orders=_orders(len(kept)), seed=options.seed),
        "agreement": agreement(kept, level=options.level, seed=options.seed),
        "sensitivity": pd.concat(
            [
                with_and_without(_known(estimate, len(kept), results[name]), comparisons)
                for name, estimate in headline.items()
            ],
            ignore_index=True,
        ),
    }
    return labelled(results, tables.is_simulated(comparisons))


def labelled(results: dict[str, pd.DataFrame], simulated: bool) -> dict[str, pd.DataFrame]:
    """The tables, saying SIMULATED VOTES in every row where that is so."""
    return {name: tables.label_simulated(frame, simulated) for name, frame in results.items()}


def table_of(name: str) -> tables.Table:
    """The columns of the result table of that name."""
    return tables.WIN_RATES if name.startswith(SLICED) else TABLES[name]


def _known(
    estimate: Callable[[pd.DataFrame], pd.DataFrame], n_kept: int, result: pd.DataFrame
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The estimate, not made again for the votes that count."""
    return lambda votes: result if len(votes) == n_kept else estimate(votes)


def _orders(n: int) -> int:
    return max(_LEAST_ORDERS, min(_ELO_ORDERS, _ELO_STEPS // max(1, n)))
