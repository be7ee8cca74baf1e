"""What a study under the stopping rule `anytime` may show while it runs: decisions per pair."""

import pandas as pd

from evalkit import tables
from evalkit.analysis.sequential import anytime_table
from evalkit.early_looks import ANYTIME, planned_prompts
from evalkit.lock import require_same_study, require_unchanged
from evalkit.result_tables.judged import judged_votes
from evalkit.store import Store
from evalkit.study_folder import StudyFolder


def anytime_status(folder: StudyFolder, store: Store) -> pd.DataFrame | None:
    """The votes so far as `tables.ANYTIME`, exclusions applied; None under any other rule.

    StudyError where the study is not the one that was locked: the rule is fixed before the votes,
    so that nobody changes it to see results.
    """
    if folder.study.stopping.rule != ANYTIME:
        return None
    require_unchanged(folder)
    require_same_study(folder, store)
    comparisons = judged_votes(folder, store).comparisons
    table = anytime_table(comparisons, planned_prompts(folder))
    return tables.label_simulated(table, tables.is_simulated(comparisons))
