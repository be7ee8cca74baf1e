"""Units: what several annotators judge alike, so that their votes can agree or not."""

import numpy as np
import pandas as pd


def units(comparisons: pd.DataFrame) -> tuple[np.ndarray, str]:
    """A code per row, equal for votes on the same question and images; and what units are called.

    By pair_id where every row has one. Else by prompt and pair of models in either order: votes on
    images of different seeds then count as votes on the same. No rows give no codes.
    """
    if "pair_id" in comparisons.columns and (comparisons["pair_id"] != "").all():
        return _codes(comparisons, ["question_id", "pair_id"]), "pairs of images"
    a, b = comparisons["model_a"], comparisons["model_b"]
    oriented = comparisons[["question_id", "prompt_id"]].assign(
        model_a=a.where(a < b, b), model_b=b.where(a < b, a)
    )
    return _codes(oriented, list(oriented.columns)), "prompts with two models, of any seed"


def _codes(comparisons: pd.DataFrame, columns: list[str]) -> np.ndarray:
    return comparisons.groupby(columns, sort=False).ngroup().to_numpy()
