"""Anytime-valid inference on prompt means: an interval and a decision that hold at every look.

Two rivals bet on the next prompt: one gives odds of m : 1 - m, the other backs q. With x in [0, 1]
what the first model gets of the prompt, the backer's wealth is multiplied by
x q/m + (1 - x)(1 - q)/(1 - m), whose expectation is 1 where x has mean m, whatever else is true of
it. The mean over q (uniform) of the products is a martingale, the e-process of m. For x of 0 or 1
it is the beta-binomial mixture (Robbins 1970, Annals of Mathematical Statistics 41; Howard, Ramdas,
McAuliffe & Sekhon 2021, Annals of Statistics 49). For x between, that mixture would be valid too,
since its factor (q/m)^x ((1-q)/(1-m))^(1-x) is convex in x and lies under its chord (Hoeffding
1963), which is the factor used here: never less, and more where prompts vary little (Waudby-Smith &
Ramdas 2024, JRSS B 86). By Ville's inequality an e-process of the true m reaches 1/alpha anywhere
along the way with a chance of at most alpha.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize_scalar

from evalkit import tables
from evalkit.analysis.coding import encode
from evalkit.analysis.counting import checked, labelled
from evalkit.analysis.result import LEVEL, require_level
from evalkit.analysis.significance import holm
from evalkit.errors import EstimateError, TableError

DECIDED, GO_ON, CANNOT = tables.DECISIONS
METHOD = "betting e-process on prompt means, uniform mixture (beta-binomial), running intersection"
_METHOD_OF_DEPTHS = (
    f"{METHOD}; over the first 1, 2, 4, ... and all votes of each prompt, union bound"
)
_CHANGED = "no interval: the win rate changed along the way, and no one value fits"

# A discrete mixture is as valid as the integral, which Gauss-Legendre nodes are close to.
_NODES, _LENGTHS = np.polynomial.legendre.leggauss(128)
_Q, _WEIGHTS = (_NODES + 1) / 2, _LENGTHS / 2
_LARGEST = 700.0  # of log e: about where a floating-point number ends
_EDGE = 1e-9  # win rates nearer to 0 or 1 are not told from them
FEW = 20  # with fewer, simulated studies decide wrongly more often than 5% about other people
_PAIR = ["question_id", "model_a", "model_b"]


@dataclass(frozen=True)
class Sequence:
    """What `n` prompts say at any look: a win rate, its interval, and whether it is decided.

    `e_value` is the largest of the e-process of 1/2 so far, `p_value` its inverse (at most 1).
    `planned` counts all prompts that will be there, None where nobody knows. `decision` is one of
    `tables.DECISIONS`: the interval leaves out 1/2; more prompts may decide it; or even if all that
    are missing went one way, 1/2 would stay within. Bounds are NaN where `method` says why.
    """

    estimate: float
    ci_low: float
    ci_high: float
    e_value: float
    p_value: float
    decision: str
    n: int
    planned: int | None
    level: float
    method: str

    @property
    def frame(self) -> pd.DataFrame:
        """The fields as a table of one row."""
        return pd.DataFrame([asdict(self)])


def anytime(means: np.ndarray, *, level: float = LEVEL, planned: int | None = None) -> Sequence:
    """The win rate and interval of prompt means (in [0, 1], in the order they were completed).

    The interval is the running intersection: every m whose e-process has stayed under
    1 / (1 - level) at all looks so far; so it never widens, and leaves out 1/2 exactly where
    p_value <= 1 - level. It needs prompts that are drawn at random, one observation of each: fed
    single votes, several to a prompt, it is invalid. With `planned` a pair that no outcome of the
    missing prompts could decide is told. No means give NaN bounds of 0 and 1 and p_value 1.

    EstimateError on means outside [0, 1], a level outside (0, 1) and more means than planned.
    """
    require_level(level)
    means = np.asarray(means, dtype=float)
    if means.ndim != 1 or not ((means >= 0) & (means <= 1)).all():
        raise EstimateError("means: allowed is one number between 0 and 1 for each prompt")
    if planned is not None and len(means) > planned:
        raise EstimateError(f"planned: {planned} prompts, and there are {len(means)} means already")
    bar = -np.log1p(-level)
    estimate = float(means.mean()) if len(means) else np.nan
    low, high = _interval(means, bar) if len(means) else (0.0, 1.0)
    largest = float(np.exp(min(_largest(means, 0.5), _LARGEST)))
    if np.isnan(low):
        decision, method = CANNOT, f"{_CHANGED}; {METHOD}"
    else:
        decision, method = _decision(means, largest, bar, planned), METHOD
    p_value = min(1.0, 1 / largest)
    return Sequence(
        estimate, low, high, largest, p_value, decision, len(means), planned, level, method
    )


def log_e(means: np.ndarray, m: float) -> np.ndarray:
    """Logarithm of the e-process of the mean `m` in (0, 1), after each of the means.

    `means` has shape (..., n), n prompts in order, and so has what comes back.
    """
    values, places = np.unique(np.asarray(means, dtype=float), return_inverse=True)
    won, lost = (_Q / m)[:, np.newaxis], ((1 - _Q) / (1 - m))[:, np.newaxis]
    of_value = np.log(won * values + lost * (1 - values))  # few values: means of a few votes
    wealth = np.cumsum(of_value[:, places.reshape(np.shape(means))], axis=-1)  # q comes first
    # In logarithms throughout: thousands of prompts pass the largest and smallest numbers.
    most = wealth.max(axis=0)
    return most + np.log(np.tensordot(_WEIGHTS, np.exp(wealth - most), axes=1))


def anytime_table(
    comparisons: pd.DataFrame, planned_prompts: pd.DataFrame, *, level: float = LEVEL
) -> pd.DataFrame:
    """A row per question and planned pair (`tables.ANYTIME`), with its interval and decision.

    `comparisons` stand in the order in which they were given; main ones that no rule excludes count
    (ties and both_bad half). `planned_prompts` has columns question_id, model_a, model_b,
    prompt_id, n_votes: how many votes the prompt will have on the pair.

    Since votes are spread evenly, prompts are completed late. So the sequence is looked at in
    several depths: the first vote of each prompt, the mean of its first two, four, ..., and of all
    planned ones. Each is one observation per prompt, and they share the error by a union bound:
    half for the planned depth, the rest evenly. The bounds are the tightest of all; e_value is the
    largest e times its share. `p_holm` is Holm's over the pairs of a question. The decision is
    about one pair alone. No planned prompts give an empty table; TableError on votes beyond them.
    """
    require_level(level)
    votes = _oriented(checked(comparisons))
    planned = planned_prompts.assign(
        model_a=planned_prompts[["model_a", "model_b"]].min(axis=1),
        model_b=planned_prompts[["model_a", "model_b"]].max(axis=1),
    )
    _require_planned(votes, planned)
    given = dict(list(votes.groupby(_PAIR)))
    rows = [
        {
            **dict(zip(_PAIR, names, strict=True)),
            **_row(given.get(names, votes.iloc[:0]), prompts.set_index("prompt_id"), level),
        }
        for names, prompts in planned.groupby(_PAIR, sort=True)
    ]
    if not rows:
        return tables.ANYTIME.empty()
    frame = pd.DataFrame(rows)
    frame["p_holm"] = frame.groupby("question_id")["p_value"].transform(holm)
    return labelled(tables.check(frame, tables.ANYTIME, "anytime"), comparisons)


def pool_warning(n_annotators: int) -> str:
    """Of whom an anytime-valid interval speaks; plainer where they are fewer than `FEW`."""
    voted = f"{n_annotators} annotator{'' if n_annotators == 1 else 's'} voted"
    told = f"{voted}: this speaks for them, and for prompts like these; not for other people"
    if n_annotators >= FEW:
        return told
    return f"SMALL POOL: {told}, of whom it would be wrong more often than its level says"


def _largest(means: np.ndarray, m: float) -> float:
    """The largest log e of the mean `m` so far; 0 before the first prompt."""
    return float(log_e(means, m).max(initial=0.0))


def _interval(means: np.ndarray, bar: float) -> tuple[float, float]:
    """Where the largest log e is under the bar, which is convex in m; NaN where it is nowhere."""

    def over(m: float) -> float:
        return _largest(means, m) - bar

    inner = float(np.clip(means.mean(), _EDGE, 1 - _EDGE))
    if over(inner) >= 0:
        found = minimize_scalar(over, bounds=(_EDGE, 1 - _EDGE), method="bounded")
        if found.fun >= 0:
            return np.nan, np.nan
        inner = float(found.x)
    # 1/2 bounds the search where it is refuted, so that bounds and p-value agree to the last digit.
    below, above = _EDGE, 1 - _EDGE
    if over(0.5) >= 0:
        below, above = (0.5, above) if inner > 0.5 else (below, 0.5)
    low = brentq(over, below, inner, xtol=1e-6) if over(below) >= 0 else 0.0
    high = brentq(over, inner, above, xtol=1e-6) if over(above) >= 0 else 1.0
    return float(low), float(high)


def _decision(means: np.ndarray, largest: float, bar: float, planned: int | None) -> str:
    if np.log(largest) >= bar:
        return DECIDED
    if planned is None:
        return GO_ON
    missing = planned - len(means)
    reachable = any(
        _largest(np.append(means, np.full(missing, side)), 0.5) >= bar for side in (0.0, 1.0)
    )
    return GO_ON if reachable else CANNOT


def _oriented(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Main votes in order, the models of each by name: points of model_a, and whether it counts."""
    if "kind" in comparisons.columns:
        comparisons = comparisons[comparisons["kind"] == "main"]
    coded = encode(comparisons, pairs_only=True)
    names = np.array(coded.models, dtype=object)
    excluded = comparisons.get("excluded_by", pd.Series("", comparisons.index))
    return pd.DataFrame(
        {
            "question_id": comparisons["question_id"].to_numpy(dtype=object),
            "model_a": names[coded.first] if coded.n else [],
            "model_b": names[coded.second] if coded.n else [],
            "prompt_id": comparisons["prompt_id"].to_numpy(dtype=object),
            "annotator_id": comparisons["annotator_id"].to_numpy(dtype=object),
            "points": coded.points,
            "counts": (excluded == "").to_numpy(dtype=bool),
        }
    )


def _require_planned(votes: pd.DataFrame, planned: pd.DataFrame) -> None:
    key = [*_PAIR, "prompt_id"]
    known = set(map(tuple, planned[key].to_numpy()))
    for row in map(tuple, votes[key].drop_duplicates().to_numpy()):
        if row not in known:
            raise TableError(
                f"comparisons: a vote on {row[1]} and {row[2]} for prompt {row[3]} (question "
                f"{row[0]}) is not planned; give the plan that these votes were collected with"
            )


def _row(votes: pd.DataFrame, planned: pd.DataFrame, level: float) -> dict[str, Any]:
    """A row of `tables.ANYTIME` without its question, models and p_holm."""
    wanted = planned["n_votes"]
    looks = [
        (share, anytime(means, level=1 - (1 - level) * share, planned=n_planned))
        for share, means, n_planned in _depths(votes, wanted)
    ]
    counting = votes[votes["counts"]]
    n_annotators = int(counting["annotator_id"].nunique())
    given = votes.groupby("prompt_id").size().reindex(wanted.index, fill_value=0)
    return {
        "n": len(counting),
        "n_prompts": counting["prompt_id"].nunique(),
        "n_annotators": n_annotators,
        "complete_prompts": int((given >= wanted).sum()),
        "planned_prompts": len(wanted),
        "planned_votes": int(wanted.sum()),
        "win_rate_a": counting.groupby("prompt_id")["points"].mean().mean(),
        **_joint(looks),
        "warning": pool_warning(n_annotators),
    }


def _depths(votes: pd.DataFrame, wanted: pd.Series) -> Iterator[tuple[float, np.ndarray, int]]:
    """Each depth's share of the error, its prompt means in order, and how many there will be.

    A prompt whose votes are all excluded gives no mean, and none will come of it.
    """
    deepest = int(wanted.max())
    shallow = [2**power for power in range(deepest.bit_length()) if 2**power < deepest]
    shares = [*(0.5 / len(shallow) for _ in shallow), 0.5] if shallow else [1.0]
    place = votes.groupby("prompt_id").cumcount().to_numpy()
    of_prompt = votes["prompt_id"].map(wanted).to_numpy(dtype=float)
    for share, depth in zip(shares, [*shallow, deepest], strict=True):
        needed = np.minimum(depth, of_prompt)
        done = votes.loc[place == needed - 1, "prompt_id"]
        inside = votes[(place < needed) & votes["counts"].to_numpy()]
        means = inside.groupby("prompt_id")["points"].mean().reindex(done).dropna()
        yield share, means.to_numpy(dtype=float), len(wanted) - (len(done) - len(means))


def _joint(looks: list[tuple[float, Sequence]]) -> dict[str, Any]:
    """The depths as one: the tightest bounds, the largest e times its share, one decision."""
    sequences = [sequence for _, sequence in looks]
    low = max(sequence.ci_low for sequence in sequences)
    high = min(sequence.ci_high for sequence in sequences)
    e_value = max(share * sequence.e_value for share, sequence in looks)
    decisions = {sequence.decision for sequence in sequences}
    method = _METHOD_OF_DEPTHS if len(looks) > 1 else METHOD
    if any(np.isnan(sequence.ci_low) for sequence in sequences) or low > high:
        low = high = np.nan
        decisions, method = {CANNOT}, f"{_CHANGED}; {method}"
    return {
        "ci_low": low,
        "ci_high": high,
        "e_value": e_value,
        "p_value": min(1.0, 1 / e_value),
        "decision": next(name for name in tables.DECISIONS if name in decisions),
        "method": method,
    }
