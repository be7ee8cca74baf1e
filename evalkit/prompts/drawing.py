"""The draw of a study's prompts: the first, at random, or at random within categories."""

import numpy as np
import pandas as pd

from evalkit.errors import StudyError

_STRATA = {
    "category": ["category"],
    "challenge": ["challenge"],
    "both": ["category", "challenge"],
}


def draw_prompts(
    prompts: pd.DataFrame, n: int | None, draw: str, seed: int, stratify: str = "category"
) -> pd.DataFrame:
    """`n` rows of the prompts (a column each for what `stratify` names), in their order.

    `first`: those that stand first. `random`: without replacement, each set of `n` alike likely.
    `stratified`: each stratum (a category, a challenge, or a category with a challenge) gets its
    share of the set, n * size / total, rounded by largest remainder, and is drawn from at random;
    which of strata with the same remainder is rounded up is random, too. `n` None: all of them.

    Raises StudyError where the set has fewer than `n`, and where a prompt is in no stratum.
    """
    if n is not None and n > len(prompts):
        raise StudyError(f"prompts: n = {n}, but the set has {len(prompts)} prompts; lower n")
    if draw == "stratified":
        _require_strata(prompts, stratify)
    if n is None:
        return prompts
    if draw == "first":
        return prompts.head(n)
    rng = np.random.default_rng(seed)
    if draw == "random":
        rows = rng.choice(len(prompts), size=n, replace=False)
    else:
        rows = _stratified(prompts[_STRATA[stratify]], n, rng)
    return prompts.iloc[np.sort(rows)].reset_index(drop=True)


def shares(sizes: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """How many of `n` fall to each stratum of these sizes (n at most their sum).

    Hare's quota with largest remainder, in whole numbers; equal remainders in random order. None
    gets more than it has: a quota that is no whole number lies below the size, which is one.
    """
    total = int(sizes.sum())
    counts, remainders = np.divmod(sizes * n, total)
    left = n - int(counts.sum())
    order = rng.permutation(len(sizes))
    counts[order[np.argsort(-remainders[order], kind="stable")][:left]] += 1
    return counts


def _stratified(strata: pd.DataFrame, n: int, rng: np.random.Generator) -> np.ndarray:
    names = list(strata.columns)
    members = list(strata.groupby(names, sort=False).indices.values())
    counts = shares(np.array([len(rows) for rows in members]), n, rng)
    drawn = [
        rng.choice(rows, size=count, replace=False)
        for rows, count in zip(members, counts, strict=True)
    ]
    return np.concatenate(drawn)


def _require_strata(prompts: pd.DataFrame, stratify: str) -> None:
    for name in _STRATA[stratify]:
        without = prompts.loc[prompts[name] == "", "prompt_id"]
        if len(without):
            raise StudyError(
                f"prompts: {len(without)} of {len(prompts)} prompts have no {name} (the first is "
                f"{without.iloc[0]}), and a stratified draw needs one; give it, or set draw = "
                '"random"'
            )
