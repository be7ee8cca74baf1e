"""Comparisons -> every result table: the headline with the exclusions applied, and beside it."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.analysis.agreement import agreement
from evalkit.analysis.counting import checked, main_only
from evalkit.analysis.elo import ORDERS, elo
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
    "sets": tables.SET_SCORES,
    "spreads": tables.MEAN_SCORES,
    "judge_bias": tables.JUDGE_BIAS,
    "speed": tables.SPEED,
    "metric_agreement": tables.METRIC_AGREEMENT,
    "metric_bins": tables.METRIC_BINS,
    "metric_differences": tables.METRIC_DIFFERENCES,
    "disagreements": tables.DISAGREEMENTS,
}
SLICED = "win_rates_by_"  # the win rates by a column stand in a table named after it

_ELO_STEPS = (
    10**8
)  # votes on a question over all orders; more votes get fewer orders, and the table says how many
_LEAST_ORDERS = 50


def estimates(
    comparisons: pd.DataFrame,
    options: Options,
    slices: Collection[str] = (),
    skipped: Collection[str] = (),
) -> dict[str, pd.DataFrame]:
    """The result tables of votes in memory, by name, each labelled where votes are simulated.

    `comparisons` may have a column excluded_by: all tables count only the rows where it is empty,
    and `sensitivity` has every headline number with and without them. The win rates by each column
    of `slices` stand in a table of their own. `skipped` may name the table stability, which is not
    made then.
    """
    kept, sure = _counted(comparisons), _sure(options)
    rated = partial(win_rates, ties=options.share_rule, **sure)
    headline = {
        "win_rates": rated,
        "ratings": partial(ratings, ties=options.ties, level=options.level),
        "sides": partial(left_share, **sure),
        "elo": partial(elo, orders=_orders(kept), seed=options.seed),
        "agreement": partial(agreement, level=options.level, seed=options.seed),
    }
    results = {name: estimate(kept) for name, estimate in headline.items()}
    results |= {SLICED + column: rated(kept, by=column) for column in slices}
    if "stability" not in skipped:
        results["stability"] = stability(kept)
    results |= {
        "tie_rules": tie_rules(kept, **sure),
        "sensitivity": pd.concat(
            [
                with_and_without(_known(estimate, len(kept), results[name]), comparisons)
                for name, estimate in headline.items()
            ],
            ignore_index=True,
        ),
    }
    return labelled(results, tables.is_simulated(comparisons))


def headline_win_rates(comparisons: pd.DataFrame, options: Options) -> pd.DataFrame:
    """The table win_rates alone, as `estimates` makes it."""
    rates = win_rates(_counted(comparisons), ties=options.share_rule, **_sure(options))
    simulated = tables.is_simulated(comparisons)
    return tables.check(tables.label_simulated(rates, simulated), tables.WIN_RATES, "win_rates")


def _counted(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The votes that no rule sets aside."""
    return checked(counted(comparisons).drop(columns="excluded_by", errors="ignore"))


def _sure(options: Options) -> dict[str, Any]:
    """How intervals of shares are made."""
    return {"interval": options.interval, "level": options.level, "seed": options.seed}


def labelled(results: dict[str, pd.DataFrame], simulated: bool) -> dict[str, pd.DataFrame]:
    """The tables, saying SIMULATED VOTES in every row where that is so."""
    return {name: tables.label_simulated(frame, simulated) for name, frame in results.items()}


def is_table(name: str) -> bool:
    """Whether a result table has that name."""
    return name in TABLES or name.startswith(SLICED)


def table_of(name: str) -> tables.Table:
    """The columns of the result table of that name."""
    return tables.WIN_RATES if name.startswith(SLICED) else TABLES[name]


def _known(
    estimate: Callable[[pd.DataFrame], pd.DataFrame], n_kept: int, result: pd.DataFrame
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The estimate, not made again for the votes that count."""
    return lambda votes: result if len(votes) == n_kept else estimate(votes)


def _orders(votes: pd.DataFrame) -> int:
    """In how many orders Elo takes the votes: fewer than the paper where a question has many."""
    most = max(main_only(votes)["question_id"].value_counts(), default=1)
    return int(max(_LEAST_ORDERS, min(ORDERS, _ELO_STEPS // most)))
