"""What the report calls choices, measures and rules, the same in every part of it."""

import pandas as pd

CHOICES = {
    "left": "the left image",
    "right": "the right image",
    "tie": "no difference",
    "both_bad": "both are bad",
}
MEASURES = {  # of `tables.AGREEMENT` and `tables.METRIC_AGREEMENT`
    "krippendorff_alpha": "Krippendorff's alpha",
    "raw_agreement": "raw agreement of two annotators",
    "repeat_consistency": "same answer on a repeat",
    "accuracy": "votes predicted",
    "auc": "area under the curve",
    "ceiling": "ceiling: other annotators",
    "floor": "floor: names of models alone",
    "rank_correlation": "rank correlation over models",
}
TIES = {
    "half": "ties and both bad count half",
    "drop": "ties and both bad left out",
    "both_bad_apart": "ties half, both bad left out",
}


def ties_counted(win_rates: pd.DataFrame) -> str:
    """The rule for ties of a table of win rates, in words; empty where the table does not say it.

    `win_rates` are `tables.WIN_RATES`, under one rule.
    """
    rules = win_rates["ties_rule"].unique() if "ties_rule" in win_rates.columns else []
    return " or ".join(TIES[rule] for rule in rules)
