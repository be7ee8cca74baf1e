"""Metrics against people: scores and judgements beside the votes of a study -> their tables."""

from collections.abc import Iterable

import pandas as pd

from evalkit import tables
from evalkit.analysis.disagreements import disagreements
from evalkit.analysis.judge_bias import judge_bias
from evalkit.analysis.margins import margins
from evalkit.analysis.metric_agreement import metric_agreement, metric_bins
from evalkit.analysis.metric_differences import metric_differences
from evalkit.errors import StudyError, nearest
from evalkit.metrics.registry import metric_card, metric_names
from evalkit.result_tables.metric_files import read_judgements
from evalkit.result_tables.options import Options
from evalkit.study_folder import StudyFolder


def against_metrics(
    folder: StudyFolder,
    comparisons: pd.DataFrame,
    images: pd.DataFrame,
    scores: pd.DataFrame,
    options: Options,
) -> dict[str, pd.DataFrame]:
    """The tables metric_agreement, _bins, _differences, disagreements and judge_bias, by name.

    `scores` are those of every image (`metric_files.read_scores`); the judgements are read from the
    study's folder. A study without either has them empty. StudyError on scores of a metric that is
    unknown, for nobody can say whether more of it is better.
    """
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    judgements = read_judgements(folder, pairs, images)
    names = sorted({*scores["metric"], *judgements["metric"]})
    found = margins(pairs, scores, judgements, lower_is_better=_lower_is_better(folder, names))
    return {
        "metric_agreement": metric_agreement(
            comparisons, found, level=options.level, seed=options.seed
        ),
        "metric_bins": metric_bins(comparisons, found, level=options.level),
        "metric_differences": metric_differences(found, level=options.level),
        "disagreements": disagreements(comparisons, found),
        "judge_bias": judge_bias(judgements, level=options.level),
    }


def _lower_is_better(folder: StudyFolder, names: Iterable[str]) -> list[str]:
    """The metrics, of those named, in which less is better, as their cards say."""
    known = metric_names()
    for name in names:
        if name not in known:
            raise StudyError(
                f'{folder.root}: scores of "{name}", which is no metric of this evalkit'
                f"{nearest(name, known)}; whether more of it is better is unknown; score anew, or "
                "delete its file"
            )
    return [name for name in names if not metric_card(name).higher_is_better]
