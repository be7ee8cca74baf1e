"""Win rates under every rule for ties, side by side."""

import pandas as pd

from evalkit import tables
from evalkit.analysis.counting import labelled
from evalkit.analysis.intervals import LEVEL, REPLICATES
from evalkit.analysis.ties import RULES, points_of
from evalkit.analysis.win_rates import win_rates

__all__ = ["RULES", "points_of", "tie_rules"]


def tie_rules(
    comparisons: pd.DataFrame,
    *,
    interval: str = "two-way",
    level: float = LEVEL,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """One row per question, pair and rule (`tables.TIE_RULES`), the rules of a pair together.

    The columns are those of `win_rates`, which is called once for each of `ties.RULES` with the
    same options; Holm's correction is within one rule, since one of them is chosen before the
    votes. No comparisons give an empty table.
    """
    parts = [
        win_rates(
            comparisons, ties=rule, interval=interval, level=level, seed=seed, replicates=replicates
        )
        for rule in RULES
    ]
    if parts[0].empty:
        return tables.TIE_RULES.empty()
    frame = pd.concat(parts, ignore_index=True)
    frame = frame.sort_values(["question_id", "model_a", "model_b"], kind="stable")
    return labelled(tables.check(frame, tables.TIE_RULES, "tie rules"), comparisons)
