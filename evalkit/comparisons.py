"""Votes -> comparisons: the only place that puts the model names back."""

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.errors import TableError


def unblind(
    votes: pd.DataFrame,
    trials: pd.DataFrame,
    pairs: pd.DataFrame,
    prompts: pd.DataFrame,
    simulated: set[str],
) -> pd.DataFrame:
    """The comparisons (`tables.COMPARISONS`) of all voted main and repeat trials.

    Takes the `tables` VOTES, TRIALS, PAIRS and PROMPTS, and the ids of simulated annotators, whose
    rows say so. Trials without a vote, attention checks and practice give no row. TableError where
    a trial's pair or its prompt is unknown.
    """
    compared = trials[trials["kind"].isin(["main", "repeat"])]
    voted = compared.merge(votes, on="trial_id", validate="1:1")
    joined = _joined(voted, pairs, "pair_id", "pairs")
    joined = _joined(
        joined, prompts[["prompt_id", "category", "challenge"]], "prompt_id", "prompts"
    )
    left_is_a = joined["left"] == "a"
    joined["winner"] = winner(joined["choice"], left_is_a)
    joined["left_model"] = joined["model_a"].where(left_is_a, joined["model_b"])
    is_simulated = joined["annotator_id"].isin(simulated)
    if is_simulated.any():
        joined["vote_source"] = is_simulated.map({True: tables.SIMULATED, False: ""})
    return tables.check(joined.sort_values(["created_at", "trial_id"]), tables.COMPARISONS, "votes")


def winner(choice: pd.Series, left_is_a: pd.Series) -> pd.Series:
    """The winner (model_a, model_b, tie, both_bad) of each choice, given where model_a lay."""
    chose_a = (choice == "left") == left_is_a
    won = chose_a.map({True: "model_a", False: "model_b"})
    return choice.where(choice.isin(["tie", "both_bad"]), won)


def attention_answers(
    votes: pd.DataFrame, trials: pd.DataFrame, checks: pd.DataFrame
) -> pd.DataFrame:
    """Columns trial_id, annotator_id, question_id, passed: one row per answered attention check.

    Practice is left out. `checks` holds pair_id and expected, the side of the check ("a" or "b")
    that a person who looks chooses. TableError where a trial's check is unknown.
    """
    voted = trials[trials["kind"] == "attention"].merge(votes, on="trial_id", validate="1:1")
    joined = _joined(voted, checks[["pair_id", "expected"]], "pair_id", "checks")
    expected_side = np.where(joined["expected"] == joined["left"], "left", "right")
    passed = joined["choice"] == expected_side
    return joined[["trial_id", "annotator_id", "question_id"]].assign(passed=passed)


def _joined(voted: pd.DataFrame, known: pd.DataFrame, key: str, name: str) -> pd.DataFrame:
    """Each vote with its row of the table `name`, which must have one for it."""
    lost = voted[~voted[key].isin(known[key])]
    if not lost.empty:
        raise TableError(
            f"{name}: no {key} {lost[key].iloc[0]} for trial {lost['trial_id'].iloc[0]}; the table "
            f"belongs to another study; put back the {name}.csv that the votes were collected with"
        )
    return voted.merge(known, on=key, validate="m:1")
