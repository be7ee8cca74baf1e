"""A study's votes -> result tables, in its folder or another."""

import json
from contextlib import closing
from pathlib import Path

import pandas as pd

from evalkit import tables
from evalkit.analysis import mean_scores, summary
from evalkit.analysis.counting import main_only
from evalkit.analysis.exclusions import described
from evalkit.analysis.sequential import anytime_table
from evalkit.early_looks import (
    ANYTIME,
    counts,
    planned_prompts,
    planned_votes,
    record_look,
    recorded_looks,
    require_planned,
    stopping,
)
from evalkit.errors import EvalkitError, StudyError, listed, nearest
from evalkit.lock import lock_hash, open_votes, require_same_study, require_unchanged
from evalkit.result_tables.against_metrics import against_metrics
from evalkit.result_tables.beside_votes import read_speeds
from evalkit.result_tables.estimates import estimates, labelled
from evalkit.result_tables.judged import judged_votes
from evalkit.result_tables.metric_files import read_scores, read_sets, read_spreads
from evalkit.result_tables.options import OF_PROMPTS, Options
from evalkit.result_tables.writing import Analysis, require_folder, write_analysis
from evalkit.store import Store
from evalkit.study_folder import StudyFolder


def analyze_study(
    folder: StudyFolder,
    early_at: str | None = None,
    options: Options | None = None,
    out: Path | None = None,
) -> Analysis:
    """Write every result table, the comparisons and the summary.

    They go into `folder.analysis`, which the report is made from, or into another folder `out`.
    All of them are made before the first is written. The study's rules of exclusion are applied:
    the tables count the votes that no rule sets aside, `sensitivity` has the headline without them
    too. Where the prompts have two categories or challenges, win rates by these are made as well.
    `early_at` is the time of a look before the planned votes are there: the study's log keeps it,
    and this and every later summary tells it. Under the stopping rule `anytime` every look is
    allowed, the table `anytime` is written, and the summary and banner say the rule. StudyError
    where votes are missing and it is None, before the first vote, where the rules leave none, where
    the study has changed since, or where a metric's table is not about all
    of the study as it is.
    """
    options, out = options or Options(), out or folder.analysis
    require_folder(out)
    require_unchanged(folder)
    with closing(open_votes(folder)) as store:
        if not store.has_votes():
            raise StudyError(
                f"{folder.root}: no votes yet; invite annotators with: evalkit invite "
                f"{folder.root}, and collect votes with: evalkit serve {folder.root}"
            )
        require_same_study(folder, store)
        # Before the votes are read: they are never fewer than said.
        planned = planned_votes(store, folder.study.stopping.rule)
        if early_at is None:
            require_planned(planned, folder.root, folder.root)
        analysis = _analysis(folder, store, options)
        if early_at is not None and planned.is_early:
            record_look(store, planned, early_at)
        looks = {"planned_votes": {**counts(planned), "early_looks": recorded_looks(store)}}
    locked = {"lock": lock_hash(folder)}
    summary = {**analysis.summary, **stopping(planned), **looks, **locked}
    analysis = Analysis(analysis.results, summary, planned.banner)
    write_analysis(analysis, out)
    return analysis


def _analysis(folder: StudyFolder, store: Store, options: Options) -> Analysis:
    judged = judged_votes(folder, store)
    comparisons = judged.comparisons
    _require_votes(folder, comparisons)
    _require_column(comparisons, options.by)
    images = folder.read_images()
    scores = read_scores(folder, images)
    beside = {
        "annotators": judged.annotators,
        "exclusions": judged.exclusions,
        "scores": mean_scores(scores, options.level),
        "sets": read_sets(folder, images),
        "spreads": mean_scores(read_spreads(folder, images), options.level),
        "speed": read_speeds(folder, images),
        **against_metrics(folder, comparisons, images, scores, options),
    }
    if folder.study.stopping.rule == ANYTIME:
        beside["anytime"] = anytime_table(comparisons, planned_prompts(folder), level=options.level)
    slices = _slices(comparisons, options.by)
    results = {"comparisons": comparisons, **estimates(comparisons, options, slices)}
    results |= labelled(beside, tables.is_simulated(comparisons))
    told = summary(comparisons, judged.attention, described(folder.study.exclusions))
    if folder.simulation_file.is_file():
        told["simulation"] = json.loads(folder.simulation_file.read_text("utf-8"))
    return Analysis(results, {**told, "options": options.as_json()})


def _require_votes(folder: StudyFolder, comparisons: pd.DataFrame) -> None:
    """StudyError where no vote counts."""
    if main_only(comparisons).empty:
        raise StudyError(
            f"{folder.root}: every vote is set aside by the rules of exclusions "
            f"({described(folder.study.exclusions)}), which are fixed; collect votes of "
            "others, and see evalkit status for why"
        )


def _slices(comparisons: pd.DataFrame, by: str | None) -> list[str]:
    """The columns to analyse apart: those of prompts with two values or more, and that of --by."""
    votes = main_only(comparisons)
    told = [column for column in OF_PROMPTS if votes[column].fillna("").nunique() > 1]
    return told if by is None or by in told else [*told, by]


def _require_column(comparisons: pd.DataFrame, by: str | None) -> None:
    """EvalkitError where the column of --by is not there."""
    if by is not None and by not in comparisons.columns:
        raise EvalkitError(
            f"--by: a study has no column {by}; its comparisons have "
            f"{listed(comparisons.columns)}{nearest(by, comparisons.columns)}"
        )
