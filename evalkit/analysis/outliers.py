"""Outlier distance: how unlikely an annotator's votes are, as the votes of the others go.

After Perez-Ortiz & Mantiuk 2017, "A practical guide and software for analysing pairwise comparison
experiments", section 9 (pwcmp): the log-likelihood of each annotator's votes under the others, and
its distance from the lower quartile in quartile ranges. There the others give a scale of the
models; here they give the chance of each choice on the very pair, so that no model is named.
"""

import numpy as np
import pandas as pd

FAR = 1.5  # the customary limit of such distances (Tukey 1977), which pwcmp advises too
LEAST_VOTES = 20  # on pairs with votes of others; with fewer, chance alone makes a distance
LEAST_PEERS = 5  # annotators whose likelihoods say what is usual


def outlier_distances(main: pd.DataFrame) -> pd.DataFrame:
    """Per annotator (the index): outlier_distance, >= 0, and outlier_n, the votes it rests on.

    `main` are main votes (annotator_id, question_id, pair_id, chosen: a, b, tie or both_bad), one
    per annotator, question and pair. The distance is (Q1 - L) / (Q3 - Q1), or 0 above Q1, for the
    mean log-likelihood L of the annotator's votes and its quartiles over annotators. NaN with fewer
    than `LEAST_VOTES` votes, with fewer than `LEAST_PEERS` such annotators, or where they are all
    alike.
    """
    others, chance = _chances(main)
    log_likelihood = np.log(chance).where(others > 0).groupby(main["annotator_id"])
    mean, n = log_likelihood.mean(), log_likelihood.count()
    known = mean.where(n >= LEAST_VOTES)
    low, high = known.quantile(0.25), known.quantile(0.75)
    is_told = known.count() >= LEAST_PEERS and high > low
    distance = ((low - known) / (high - low)).clip(lower=0) if is_told else known * np.nan
    return pd.DataFrame({"outlier_distance": distance, "outlier_n": n})


def _chances(main: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Others' votes on the pair of each vote, and the chance that they give to its choice.

    Their shares on the pair, with one more vote that is spread as the others choose on the whole
    question; so a choice that nobody made on the pair has a chance too.
    """
    item = ["question_id", "pair_id"]
    others = main.groupby(item)["chosen"].transform("size") - 1
    alike = main.groupby([*item, "chosen"])["chosen"].transform("size") - 1
    return others, (alike + _usual(main)) / (others + 1)


def _usual(main: pd.DataFrame) -> pd.Series:
    """The share of each vote's choice among the others' votes on the question, a and b together.

    One vote each for a side, a tie and both_bad is added (Laplace's rule of succession); half of
    what is for a side is for a, half for b.
    """
    is_side = main["chosen"].isin(["a", "b"])
    kind = main["chosen"].mask(is_side, "side")
    question, who = main["question_id"], main["annotator_id"]

    def by_others(*keys: pd.Series) -> pd.Series:
        everybody = kind.groupby(list(keys)).transform("size")
        return everybody - kind.groupby([*keys, who]).transform("size")

    share = (by_others(question, kind) + 1) / (by_others(question) + 3)
    return share / (1 + is_side)
