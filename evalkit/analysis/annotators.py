"""How each annotator works: speed, sides, checks, repeats, agreement. In screen words, no models.

Nothing here excludes anybody: a flag says where to look, and which votes count is fixed beforehand.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import ndtri

from evalkit import tables
from evalkit.analysis.coding import BOTH_BAD, FIRST_WON, SECOND_WON, TIE, encode
from evalkit.analysis.counting import checked, in_time, labelled
from evalkit.analysis.intervals import LEVEL, wilson
from evalkit.analysis.outliers import FAR, LEAST_PEERS, LEAST_VOTES, outlier_distances
from evalkit.analysis.units import units

COLUMNS = tuple(column.name for column in tables.ANNOTATORS.columns if column.required)
COUNTS = tuple(c.name for c in tables.ANNOTATORS.columns if c.required and c.kind == "integer")

_CHOSEN = {FIRST_WON: "a", SECOND_WON: "b", TIE: "tie", BOTH_BAD: "both_bad"}

_FAST_MS = 1000  # nobody compares two images in less
_MIN_CHECKS = 4
_MIN_VOTES = 20
_MIN_AGREEMENT_N = 30
_MIN_PEERS = 5  # annotators whose agreement says what is usual
_LEAST_GAP = 0.1  # what chance makes of the agreement of people who all look
_LONG_RUN = 15  # a fair coin shows such a run in 100 throws with a chance of 0.3%
_FAR_LEFT = 0.65

FLAGS = {
    "attention": f"missed more than a quarter of at least {_MIN_CHECKS} attention checks",
    "fast": f"more than a fifth of at least {_MIN_VOTES} votes are faster than the floor",
    "one side": (
        f"the 95% interval of the left share lies over {_FAR_LEFT:.0%} or under {1 - _FAR_LEFT:.0%}"
    ),
    "one choice": f"one choice {_LONG_RUN} times in a row or more",
    "agreement": (
        f"agreement, over at least {_MIN_AGREEMENT_N} votes of others, lies more than 3 robust "
        f"standard deviations, and {_LEAST_GAP:.0%}, under the median of at least {_MIN_PEERS} "
        "such annotators"
    ),
    "outlier": (
        f"the outlier distance, over at least {LEAST_VOTES} votes, is more than {FAR}: the votes "
        "are that many quartile ranges less likely than the lower quartile of at least "
        f"{LEAST_PEERS} such annotators"
    ),
}


def fast_floor(min_viewing_ms: int) -> int:
    """Votes given in fewer milliseconds are fast: twice the least viewing time, at least 1000."""
    return max(_FAST_MS, 2 * min_viewing_ms)


def annotator_table(
    votes: pd.DataFrame, trials: pd.DataFrame, checks: pd.DataFrame, floor_ms: int
) -> pd.DataFrame:
    """One row per annotator who has voted, by annotator_id, with the columns `COLUMNS`.

    `votes` (trial_id, choice, response_ms) are the votes as they stand, `trials` are
    `tables.TRIALS`, `checks` (pair_id, expected: a or b) are the pairs with a right side. Shares
    are in [0, 1]; one of nothing is NaN, with its n = 0 beside it.

    n_votes, median_ms, fast_share (faster than `floor_ms`) and longest_run (of one choice, in the
    order shown) are of all votes but practice; left_share is of the `n_decided` main votes for a
    side, with Wilson's 95% interval; tie_share is of all main votes. repeats_consistent of
    repeats_n repeats chose the same image, or tie, or both_bad, again. agreement is the share of
    the agreement_n main votes by others on the same question and pair that say the same;
    outlier_distance, of outlier_n main votes, is that of `outliers.outlier_distances`.
    Raises ValueError where a check's pair is not in `checks`.
    """
    voted = trials.merge(votes[["trial_id", "choice", "response_ms"]], on="trial_id")
    voted = voted.assign(chosen=_chosen(voted["choice"], voted["left"]))
    return _table(voted.sort_values(["annotator_id", "position"]), checks, floor_ms)


def annotator_table_of(comparisons: pd.DataFrame, floor_ms: int = _FAST_MS) -> pd.DataFrame:
    """The `annotator_table` of comparisons without their trials, such as imported votes.

    What they cannot tell is NaN, with its n = 0: checks, practice and runs always; times without
    response_ms; sides without left_model; repeats without kind. Of an annotator's main votes on one
    question and pair (see `units`), the first by created_at (without that column, the first row)
    counts for agreement, repeats and outlier distance. Who is excluded stands here too.
    """
    given, comparisons = comparisons, in_time(checked(comparisons)).reset_index(drop=True)
    unit, _ = units(comparisons)
    outcome = encode(comparisons).outcome
    chosen = pd.Series(outcome, comparisons.index).map(_CHOSEN)
    absent = pd.Series("", comparisons.index)
    left = comparisons.get("left_model", absent)
    won = comparisons["model_a"].where(comparisons["winner"] == "model_a", comparisons["model_b"])
    side = pd.Series(np.where(left == won, "left", "right"), comparisons.index).mask(left == "", "")
    voted = pd.DataFrame(
        {
            "annotator_id": comparisons["annotator_id"],
            "question_id": comparisons["question_id"],
            "pair_id": unit,
            "kind": comparisons.get("kind", absent.mask(absent == "", "main")),
            "choice": side.where(chosen.isin(["a", "b"]), chosen),
            "chosen": chosen,
            "response_ms": comparisons.get("response_ms", absent.map({"": np.nan})),
        }
    )
    compared = voted[voted["kind"].isin(["main", "repeat"])]
    table = _table(compared, pd.DataFrame({"pair_id": [], "expected": []}), floor_ms)
    return labelled(table.assign(longest_run=np.nan), given)


def _table(voted: pd.DataFrame, checks: pd.DataFrame, floor_ms: int) -> pd.DataFrame:
    """The table of votes with their trials, each annotator's in the order shown."""
    if voted.empty:
        empty = {name: pd.Series(dtype=int if name in COUNTS else float) for name in COLUMNS}
        return pd.DataFrame({**empty, "annotator_id": pd.Series(dtype=str)})
    counted = voted[voted["kind"] != "practice"]
    main = voted[voted["kind"] == "main"]
    first = main.drop_duplicates(["annotator_id", "question_id", "pair_id"])
    parts = [
        _speed(counted, floor_ms),
        _sides(main),
        _right(voted[voted["kind"] == "attention"], checks, "attention_passed", "attention_n"),
        _right(voted[voted["kind"] == "practice"], checks, "practice_right", "practice_n"),
        _repeats(voted[voted["kind"] == "repeat"], first),
        _agreement(first),
        outlier_distances(first),
        counted.groupby("annotator_id")["choice"].agg(longest_run=_longest_run),
    ]
    everybody = pd.Index(sorted(set(voted["annotator_id"])), name="annotator_id")
    table = pd.concat([part.reindex(everybody) for part in parts], axis=1)
    table = table.fillna(dict.fromkeys(COUNTS, 0)).astype(dict.fromkeys(COUNTS, int))
    return table.reset_index()[list(COLUMNS)]


def flags(table: pd.DataFrame) -> list[str]:
    """For each row of an `annotator_table`, the names in `FLAGS` that hold, joined by commas."""
    rules: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
        "attention": lambda t: (
            (t["attention_n"] >= _MIN_CHECKS) & (t["attention_passed"] < 0.75 * t["attention_n"])
        ),
        "fast": lambda t: (t["n_votes"] >= _MIN_VOTES) & (t["fast_share"] > 0.2),
        "one side": lambda t: (t["left_low"] > _FAR_LEFT) | (t["left_high"] < 1 - _FAR_LEFT),
        "one choice": lambda t: t["longest_run"] >= _LONG_RUN,
        "agreement": _is_apart,
        "outlier": lambda t: t["outlier_distance"] > FAR,
    }
    held = {name: rule(table) for name, rule in rules.items()}
    return [", ".join(name for name in held if held[name].iloc[row]) for row in range(len(table))]


def _chosen(choice: pd.Series, left: pd.Series) -> pd.Series:
    """The image chosen (a or b), or tie or both_bad: the same whichever side an image lay on."""
    other = left.map({"a": "b", "b": "a"})
    return choice.mask(choice == "left", left).mask(choice == "right", other)


def _speed(counted: pd.DataFrame, floor_ms: int) -> pd.DataFrame:
    took = counted.groupby("annotator_id")["response_ms"]
    is_fast = (counted["response_ms"] < floor_ms).astype(float)
    fast = is_fast.where(counted["response_ms"].notna()).groupby(counted["annotator_id"])
    return pd.DataFrame(
        {"n_votes": took.size(), "median_ms": took.median(), "fast_share": fast.mean()}
    )


def _sides(main: pd.DataFrame) -> pd.DataFrame:
    who = main["annotator_id"]
    left = (main["choice"] == "left").groupby(who).sum()
    decided = main["choice"].isin(["left", "right"]).groupby(who).sum()
    quantile = float(ndtri((1 + LEVEL) / 2))
    bounds = [
        wilson(k / n, n, quantile) if n else (np.nan, np.nan)
        for k, n in zip(left, decided, strict=True)
    ]
    low, high = zip(*bounds, strict=True) if bounds else ((), ())
    return pd.DataFrame(
        {
            "n_decided": decided,
            "left_share": left / decided.where(decided > 0),
            "left_low": pd.Series(low, left.index, dtype=float),
            "left_high": pd.Series(high, left.index, dtype=float),
            "tie_share": (main["choice"] == "tie").groupby(who).mean(),
        }
    )


def _right(answered: pd.DataFrame, checks: pd.DataFrame, right: str, n: str) -> pd.DataFrame:
    """How many of the checks were answered by the expected image, and how many there were."""
    expected = answered["pair_id"].map(
        dict(zip(checks["pair_id"], checks["expected"], strict=True))
    )
    if expected.isna().any():
        raise ValueError(f"no expected side for {answered.loc[expected.isna(), 'pair_id'].iloc[0]}")
    passed = (answered["chosen"] == expected).groupby(answered["annotator_id"])
    return pd.DataFrame({right: passed.sum(), n: passed.size()})


def _repeats(repeats: pd.DataFrame, main: pd.DataFrame) -> pd.DataFrame:
    key = ["annotator_id", "question_id", "pair_id"]
    both = repeats.merge(main[[*key, "chosen"]], on=key, suffixes=("", "_first"))
    same = (both["chosen"] == both["chosen_first"]).groupby(both["annotator_id"])
    return pd.DataFrame({"repeats_consistent": same.sum(), "repeats_n": same.size()})


def _agreement(main: pd.DataFrame) -> pd.DataFrame:
    """Of each annotator's main votes against each by somebody else on the same question and pair.

    An annotator has one main vote per question and pair, so the others are all but one.
    """
    item = ["question_id", "pair_id"]
    others = main.groupby(item)["chosen"].transform("size") - 1
    alike = main.groupby([*item, "chosen"])["annotator_id"].transform("size") - 1
    n = others.groupby(main["annotator_id"]).sum()
    agreeing = alike.groupby(main["annotator_id"]).sum()
    return pd.DataFrame({"agreement": agreeing / n.where(n > 0), "agreement_n": n})


def _longest_run(choices: pd.Series) -> int:
    changes = choices != choices.shift()
    return int(changes.cumsum().value_counts().max())


def _is_apart(table: pd.DataFrame) -> pd.Series:
    known = table["agreement"].where(table["agreement_n"] >= _MIN_AGREEMENT_N)
    if known.count() < _MIN_PEERS:
        return pd.Series(False, table.index)
    median = known.median()
    spread = 1.4826 * (known - median).abs().median()  # a normal's standard deviation from its MAD
    return known < median - max(_LEAST_GAP, 3 * spread)
