"""The counts a reviewer asks for first: votes received and kept, checks passed, sides pressed."""

from typing import Any

import pandas as pd

from evalkit.analysis.coding import encode
from evalkit.analysis.exclusions import NO_RULE
from evalkit.analysis.intervals import two_way_share
from evalkit.analysis.win_rates import main_only


def summary(
    comparisons: pd.DataFrame, attention: pd.DataFrame, rules: str = NO_RULE
) -> dict[str, Any]:
    """Counts and shares of one study, ready for JSON (undefined shares are None).

    `attention` has one row per answered check, with a flag `passed`; `rules` says in words whose
    votes do not count. The left share is of the votes that count, ties and both_bad half, and comes
    with its two-way interval.
    """
    votes = comparisons[comparisons["kind"] == "main"]
    main = main_only(comparisons)
    received = len(comparisons) + len(attention)
    return {
        "votes_received": received,
        "votes_main": len(votes),
        "votes_repeat": int((comparisons["kind"] == "repeat").sum()),
        "votes_attention": len(attention),
        "votes_excluded": len(votes) - len(main),
        "exclusion_rule": rules,
        "annotators": int(comparisons["annotator_id"].nunique()),
        "prompts": int(comparisons["prompt_id"].nunique()),
        "attention": _attention(attention),
        "left_share": {
            str(question_id): _left_share(asked)
            for question_id, asked in main.groupby("question_id")
        },
    }


def _attention(attention: pd.DataFrame) -> dict[str, Any]:
    passed = int(attention["passed"].sum()) if len(attention) else 0
    share = passed / len(attention) if len(attention) else None
    return {"n": len(attention), "passed": passed, "share": share}


def _left_share(asked: pd.DataFrame) -> dict[str, Any]:
    decided = asked["winner"].isin(["model_a", "model_b"])
    winner = asked["model_a"].where(asked["winner"] == "model_a", asked["model_b"])
    points = (winner == asked["left_model"]).astype(float).where(decided, 0.5)
    coded = encode(asked)
    result = two_way_share(points.to_numpy(), coded.prompt, coded.annotator)
    interval = [result.ci_low, result.ci_high] if result.has_interval else None
    return {"share": result.estimate, "interval": interval, "n": result.n, "method": result.method}
