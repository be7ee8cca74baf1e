"""What can be read without looking at a picture, and whether it tells the models apart."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from evalkit.leaks.finding import Finding
from evalkit.leaks.statistics import (
    LEVEL,
    MIN_EFFECT,
    Tell,
    cluster_tell,
    order_tell,
    side_tell,
    telling,
)

_MOST_TRIALS = 5_000  # of the study's own, drawn at random: more show nothing that these do not
_REMEDIES = {
    "file names": "draw the names at random: make the public images anew",
    "file times": "give all files one time: make the public images anew",
    "database order": "sort the pairs by their random ids: make the vote database anew",
    "sides": "let the server draw the sides; leave out these trials, or make a new study",
    "positions": "let the server draw the order; leave out these trials, or make a new study",
    "trial ids": "let the server draw the ids; leave out these trials, or make a new study",
}


def find_tells(
    key: pd.DataFrame,
    times: dict[str, int],
    stored: pd.DataFrame,
    matchups: pd.DataFrame,
    rehearsed: pd.DataFrame,
    trials: pd.DataFrame,
    adaptive: bool,
    seed: int,
) -> list[Tell]:
    """One Tell or more for each observable, all seeded.

    `key` is the key of the public files, `times` their modification times (ns), `stored` the
    blinded pairs in the order of the database, `matchups` has pair_id, model_a, model_b. The trials
    are those of the rehearsal and those of the study itself (`tables.TRIALS`; none before the
    first). Where the policy is adaptive, the study's own positions are left out: the pairs in doubt
    come later by design.
    """
    plain = key[key["treatment"] == "plain"].sort_values("file", ignore_index=True)
    own = trials[trials["kind"] != "practice"]
    own = own.sample(min(len(own), _MOST_TRIALS), random_state=seed % 2**32)
    observed = [
        *_of_names(plain, seed),
        _of_times(plain, times, seed),
        *_of_database(stored, matchups, seed),
    ]
    for where, shown in (("in rehearsal", rehearsed), ("so far", own)):
        named = shown.merge(matchups, on="pair_id")
        observed.append(_of_sides(f"sides {where}", named, seed))
        if not (adaptive and where == "so far"):
            observed.append(_of_positions(f"positions {where}", named, seed))
    return [*observed, *_of_trial_ids(own.merge(matchups, on="pair_id"), seed)]


def check_tells(tells: list[Tell]) -> list[Finding]:
    """A finding per Tell, judged as one family: see `statistics.telling`."""
    return [_finding(tell, leaks) for tell, leaks in zip(tells, telling(tells), strict=True)]


def _finding(tell: Tell, leaks: bool) -> Finding:
    name = f"tell by {tell.observable}"
    if tell.n == 0:
        return Finding(name, True, "nothing to look at yet")
    if not leaks:
        said = (
            f"tells nobody apart (effect {tell.effect:.2f}, n = {tell.n}, p = {tell.p_value:.2g})"
        )
        constant = tell.p_value == 1 and tell.effect == 0
        return Finding(name, True, f"the same for all (n = {tell.n})" if constant else said)
    best = " from ".join(part for part in tell.best if part)
    found = (
        f"a guess by it is right in {50 + 100 * tell.effect:.0f} %"
        f"{f' for {best}' if best else ''} (n = {tell.n}, p = {tell.p_value:.2g})"
    )
    where = f"judged where the effect is {MIN_EFFECT} or more, at {LEVEL:.0%} over all tells"
    remedy = next(text for start, text in _REMEDIES.items() if tell.observable.startswith(start))
    return Finding(name, False, found, where, remedy)


def _of_names(plain: pd.DataFrame, seed: int) -> Iterator[Tell]:
    order, models = np.arange(len(plain)), plain["model"].to_numpy()
    yield order_tell("file names", order, models, seed)
    yield cluster_tell("file names that are neighbours", order, models, seed)


def _of_times(plain: pd.DataFrame, times: dict[str, int], seed: int) -> Tell:
    known = plain[plain["file"].isin(list(times))]
    values = known["file"].map(times).to_numpy(dtype=np.int64)
    return order_tell("file times", values, known["model"].to_numpy(), seed)


def _of_database(stored: pd.DataFrame, matchups: pd.DataFrame, seed: int) -> Iterator[Tell]:
    named = stored.merge(matchups, on="pair_id")
    order, names = np.arange(len(named)), _matchup(named)
    yield order_tell("database order", order, names, seed)
    yield cluster_tell("database order of neighbours", order, names, seed)


def _of_sides(observable: str, shown: pd.DataFrame, seed: int) -> Tell:
    return side_tell(observable, (shown["left"] == "a").to_numpy(), _matchup(shown), seed)


def _of_positions(observable: str, shown: pd.DataFrame, seed: int) -> Tell:
    main = shown[shown["kind"] == "main"]
    return order_tell(observable, main["position"].to_numpy(), _matchup(main), seed)


def _of_trial_ids(shown: pd.DataFrame, seed: int) -> Iterator[Tell]:
    shown = shown.sort_values("trial_id")
    left = shown["model_a"].where(shown["left"] == "a", shown["model_b"]).to_numpy()
    yield order_tell("trial ids", np.arange(len(shown)), left, seed)


def _matchup(named: pd.DataFrame) -> np.ndarray:
    return (named["model_a"] + " and " + named["model_b"]).to_numpy(dtype=str)
