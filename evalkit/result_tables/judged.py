"""A study's votes with the names of the models, and who is set aside by its rules."""

from dataclasses import dataclass

import pandas as pd

from evalkit import tables
from evalkit.analysis.annotators import annotator_table, fast_floor, flags
from evalkit.analysis.exclusions import apply, excluded, exclusion_table, reasons
from evalkit.comparisons import attention_answers, unblind
from evalkit.store import Store
from evalkit.study_folder import StudyFolder


@dataclass(frozen=True)
class Judged:
    """The comparisons of a study with excluded_by, and what its annotators show.

    `annotators` and `exclusions` are `tables.ANNOTATORS` and `tables.EXCLUSIONS`; `attention` is
    that of `attention_answers`.
    """

    comparisons: pd.DataFrame
    annotators: pd.DataFrame
    exclusions: pd.DataFrame
    attention: pd.DataFrame


def judged_votes(folder: StudyFolder, store: Store) -> Judged:
    """The votes as they stand, the study's rules of exclusion applied; no votes give no rows."""
    votes = store.votes()
    trials, annotators = store.trials(), store.annotators()  # after the votes: each has its trial
    comparisons = unblind(
        votes,
        trials,
        tables.read(folder.pairs_file, tables.PAIRS),
        folder.read_prompts(),
        set(annotators.loc[annotators["simulated"], "annotator_id"]),
    )
    checks = tables.read(folder.checks_file, tables.CHECKS)
    table = annotator_table(votes, trials, checks, fast_floor(folder.study.design.min_viewing_ms))
    blocked = annotators.loc[annotators["blocked_at"].fillna("") != "", "annotator_id"]
    people = table.assign(blocked=table["annotator_id"].isin(blocked))
    rules = folder.study.exclusions
    held = excluded(people, rules)
    comparisons = apply(comparisons, held)
    return Judged(
        comparisons=comparisons,
        annotators=people.assign(
            flags=flags(people), excluded_by=reasons(people["annotator_id"], held)
        ),
        exclusions=exclusion_table(comparisons, people, rules),
        attention=attention_answers(votes, trials, checks),
    )
