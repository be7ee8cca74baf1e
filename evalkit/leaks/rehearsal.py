"""Trials as annotators will meet them, before there are any: the plan played through (pure)."""

import numpy as np
import pandas as pd

from evalkit.design import Showing, Tallies, TrialPlan, choose_trial

_SHOWINGS = 400  # enough to see a side or a place that leans by MIN_EFFECT, and done in a second


def rehearse(plan: TrialPlan, seed: int) -> pd.DataFrame:
    """Columns annotator_id, question_id, pair_id, left, kind, position: about 400 trials or more.

    Annotators come one after another and vote on all they are given; the last one is finished too.
    Fewer trials where the study has no more.
    """
    rng = np.random.default_rng(seed)
    tallies = Tallies.of(plan)
    rows: list[dict[str, object]] = []
    while len(rows) < _SHOWINGS:
        seen: list[Showing] = []
        while (showing := choose_trial(plan, seen, tallies, int(rng.integers(2**63)))) is not None:
            if showing.kind == "main":
                issued, voted, opened = tallies.get(showing.question_id, showing.pair_id)
                tallies.put(showing.question_id, showing.pair_id, issued + 1, voted + 1, opened)
            seen.append(showing)
        if not seen:
            break
        name = f"rehearsal-{len(rows)}"
        rows += [
            {"annotator_id": name, **vars(showing), "position": position}
            for position, showing in enumerate(seen, start=1)
        ]
    columns = ["annotator_id", "question_id", "pair_id", "left", "kind", "position"]
    return pd.DataFrame(rows, columns=columns)
