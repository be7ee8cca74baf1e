"""Exclusions: whose votes do not count, by rules that the study fixed; no vote is deleted.

A rule is about an annotator, as a table of `evalkit.analysis.annotators` shows them; all votes of
an annotator whom a rule holds against are set aside together.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.study_sections import Exclusions

NO_RULE = "none: every main vote counts; repeats and attention checks do not"
TOTALS = ("excluded", "received", "counted")  # rows below those of the rules
# Columns with the estimate of a result table; ratings have a column elo beside theirs.
HEADLINES = ("win_rate_a", "rating", "left_share", "elo")
_SIDES = ["estimate", "ci_low", "ci_high", "n"]


@dataclass(frozen=True)
class _Rule:
    """What a rule looks at: a value per annotator, the column with its n, and the n it needs."""

    value: Callable[[pd.DataFrame], pd.Series]
    n: str
    least: str | None = None  # key of `Exclusions`; None: one is enough


def _share(part: str, n: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda table: table[part] / table[n].where(table[n] > 0)


_RULES = {
    "attention_below": _Rule(
        _share("attention_passed", "attention_n"), "attention_n", "min_checks"
    ),
    "median_ms_below": _Rule(lambda table: table["median_ms"], "n_votes", "min_votes"),
    "same_side_above": _Rule(
        lambda table: np.maximum(table["left_share"], 1 - table["left_share"]),
        "n_decided",
        "min_votes",
    ),
    "longest_run_above": _Rule(lambda table: table["longest_run"], "n_votes"),
    "repeat_consistency_below": _Rule(
        _share("repeats_consistent", "repeats_n"), "repeats_n", "min_repeats"
    ),
    "blocked": _Rule(lambda table: table["blocked"].astype(float), "n_votes"),
}


def excluded(table: pd.DataFrame, rules: Exclusions) -> pd.DataFrame:
    """A row per rule and annotator that it holds against, in the order of the rules.

    `table` is an `annotator_table`, with a flag `blocked` where that rule is wanted. Columns
    annotator_id, rule, value (what the annotator shows) and limit (NaN for blocked). Annotators
    with fewer votes or checks than the rule needs are not judged by it, nor where the table cannot
    say. No rules, or nobody under them, give no rows.
    """
    parts = [tables.EXCLUDED.empty()]
    for rule, limit in _limits(rules).items():
        value = _judged(table, rule, rules)
        holds = value > limit if rule.endswith("_above") else value < limit
        if rule == "blocked":
            holds, limit = value == 1, np.nan
        parts.append(
            pd.DataFrame(
                {
                    "annotator_id": table.loc[holds, "annotator_id"],
                    "rule": rule,
                    "value": value[holds],
                    "limit": limit,
                }
            )
        )
    return tables.check(pd.concat(parts[1:] or parts), tables.EXCLUDED, "excluded")


def reasons(annotator_id: pd.Series, held: pd.DataFrame) -> pd.Series:
    """For each annotator the rules in `held` (see `excluded`), by commas; "" for who counts."""
    joined = held.groupby("annotator_id")["rule"].agg(", ".join)
    return annotator_id.map(joined.to_dict()).astype(object).fillna("")


def apply(comparisons: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """The comparisons with a column excluded_by (`reasons`); every row stays.

    All tables of `evalkit.analysis` count only the rows where it is empty (`counted`); without the
    column, every row.
    """
    return comparisons.assign(excluded_by=reasons(comparisons["annotator_id"], held))


def counted(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The comparisons that no rule has set aside: excluded_by is empty, or NaN as pandas has it."""
    if "excluded_by" not in comparisons.columns:
        return comparisons
    rules = comparisons["excluded_by"]
    return comparisons[rules.isna() | (rules == "")]


def exclusion_table(
    comparisons: pd.DataFrame, table: pd.DataFrame, rules: Exclusions
) -> pd.DataFrame:
    """How many annotators and main votes each rule sets aside (`tables.EXCLUSIONS`).

    A row per rule given, in a fixed order, with its limit, the n that it needs (`least`) and how
    many annotators have that (`n_judged`); then the `TOTALS`: under any rule, received, and
    counted. Annotators are those with a main vote. One under two rules counts in both rows, and
    once in the totals.
    """
    votes, held = _main_votes(comparisons), excluded(table, rules)
    rows = []
    for rule, limit in _limits(rules).items():
        judged = table.loc[_judged(table, rule, rules).notna(), "annotator_id"]
        least = _RULES[rule].least
        rows.append(
            {
                "rule": rule,
                "limit": np.nan if rule == "blocked" else limit,
                "least": getattr(rules, least) if least else 1,
                "n_judged": int(judged.isin(votes.index).sum()),
                **_count(votes, held.loc[held["rule"] == rule, "annotator_id"]),
            }
        )
    aside = _count(votes, held["annotator_id"])
    received = {"n_annotators": len(votes), "n_votes": int(votes.sum())}
    kept = {name: received[name] - aside[name] for name in received}
    for name, counts in zip(TOTALS, (aside, received, kept), strict=True):
        rows.append({"rule": name, "limit": np.nan, "least": np.nan, "n_judged": np.nan, **counts})
    return tables.check(pd.DataFrame(rows), tables.EXCLUSIONS, "exclusions")


def with_and_without(
    estimate: Callable[[pd.DataFrame], pd.DataFrame], comparisons: pd.DataFrame
) -> pd.DataFrame:
    """The rows of a result table with the rules applied and of every vote (`tables.SENSITIVITY`).

    `estimate` gives a table with one of the columns `HEADLINES`, such as `win_rates`, or with the
    columns measure and estimate, as `agreement`; `comparisons` come from `apply`. estimate, ci_low,
    ci_high and n are with the rules, as in the result table, NaN for the bounds of Elo, which has
    no interval; those that end in _all are of every main vote (of every repeat, for the consistency
    of repeats); change is the first less the second. What has no votes left is NaN with n = 0.
    """
    every = comparisons.drop(columns="excluded_by", errors="ignore")
    kept = counted(comparisons).drop(columns="excluded_by", errors="ignore")
    under_rules = _figures(estimate(kept))
    of_all = under_rules if len(kept) == len(every) else _figures(estimate(every))
    key = [name for name in of_all.columns if name not in _SIDES]
    both = of_all.merge(under_rules, on=key, how="left", suffixes=("_all", ""))
    both = both.fillna({"n": 0}).assign(change=both["estimate"] - both["estimate_all"])
    return tables.check(both, tables.SENSITIVITY, "sensitivity")


def described(rules: Exclusions) -> str:
    """The rules in one line, for the summary and the datasheet."""
    words = []
    for rule, limit in _limits(rules).items():
        least = _RULES[rule].least
        since = f" (from {getattr(rules, least)} on)" if least else ""
        words.append("blocked" if rule == "blocked" else f"{rule} = {limit:g}{since}")
    return "; ".join(words) or NO_RULE


def _limits(rules: Exclusions) -> dict[str, float]:
    """The limits given, by rule, in the order of `_RULES`; 1 for blocked."""
    given = {rule: getattr(rules, rule) for rule in _RULES}
    return {rule: float(limit) for rule, limit in given.items() if limit not in (None, False)}


def _judged(table: pd.DataFrame, rule: str, rules: Exclusions) -> pd.Series:
    """What the rule looks at, NaN for annotators whom it does not judge."""
    looked_at = _RULES[rule]
    least = getattr(rules, looked_at.least) if looked_at.least else 1
    known = table if "blocked" in table.columns else table.assign(blocked=np.nan)
    return looked_at.value(known).astype(float).where(known[looked_at.n] >= least)


def _main_votes(comparisons: pd.DataFrame) -> pd.Series:
    """Number of main votes by annotator; of all votes where no kind is given."""
    kind = comparisons.get("kind", pd.Series("main", comparisons.index))
    return comparisons.loc[kind == "main", "annotator_id"].value_counts()


def _count(votes: pd.Series, annotator_ids: pd.Series) -> dict[str, int]:
    """How many of these annotators have main votes, and how many votes that are."""
    theirs = votes[votes.index.isin(annotator_ids)]
    return {"n_annotators": len(theirs), "n_votes": int(theirs.sum())}


def _figures(frame: pd.DataFrame) -> pd.DataFrame:
    """Which figure of which question and models, and its estimate, interval and n."""
    if "measure" not in frame.columns:
        measure = next(name for name in HEADLINES if name in frame.columns)
        frame = frame.rename(columns={measure: "estimate"}).assign(measure=measure)
    names = ["measure", "question_id", "model_a", "model_b", "model"]
    named = frame.reindex(columns=names, fill_value="")
    return pd.concat([named, frame.reindex(columns=_SIDES)], axis=1)
