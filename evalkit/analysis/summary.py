"""The counts a reviewer asks for first: votes received and kept, checks passed, sides pressed."""

from typing import Any

import pandas as pd

from evalkit.analysis.coding import encode
from evalkit.analysis.counting import checked, main_only
from evalkit.analysis.exclusions import NO_RULE
from evalkit.analysis.intervals import two_way_share
from evalkit.analysis.sides import left_points


def summary(
    comparisons: pd.DataFrame, attention: pd.DataFrame, rules: str = NO_RULE
) -> dict[str, Any]:
    """Counts and shares of one study, ready for JSON (undefined shares are None).

    `comparisons` have a column kind. `attention` has one row per answered check, with a flag
    `passed`; `rules` says in words whose votes do not count. The left share is of the votes that
    count and whose sides are known, ties and both_bad half, with its two-way interval.
    """
    comparisons = checked(comparisons)
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
    votes = encode(asked)
    known = votes.take(votes.left != 0)
    result = two_way_share(left_points(known), known.prompt, known.annotator)
    share = result.estimate if result.n else None
    interval = [result.ci_low, result.ci_high] if result.has_interval else None
    return {"share": share, "interval": interval, "n": result.n, "method": result.method}
