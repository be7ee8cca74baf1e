"""What metrics say of each image and pair, read from the study: scores, judgements, gaps."""

from pathlib import Path

import pandas as pd

from evalkit import tables
from evalkit.study_folder import StudyFolder


def read_scores(folder: StudyFolder) -> pd.DataFrame:
    """The scores of all metrics (`tables.SCORES`); empty where none was computed."""
    return _read_all(folder.scores, tables.SCORES)


def read_judgements(folder: StudyFolder) -> pd.DataFrame:
    """The judgements of all judges (`tables.JUDGEMENTS`); empty where there is none."""
    return _read_all(folder.judgements, tables.JUDGEMENTS)


def read_disagreements(folder: StudyFolder) -> pd.DataFrame:
    """Where people and metrics differ (`tables.DISAGREEMENTS`); empty where that is not known."""
    path = folder.analysis / "disagreements.csv"
    return (
        tables.read(path, tables.DISAGREEMENTS) if path.is_file() else tables.DISAGREEMENTS.empty()
    )


def metric_labels(frame: pd.DataFrame) -> dict[tuple[str, str], str]:
    """A name per metric and weights of the table: the metric's, with the weights where several."""
    named = sorted(set(zip(frame["metric"], frame["weights"], strict=True)))
    metrics = [metric for metric, _ in named]
    return {
        (metric, weights): f"{metric} ({weights})" if metrics.count(metric) > 1 else metric
        for metric, weights in named
    }


def _read_all(folder: Path, table: tables.Table) -> pd.DataFrame:
    frames = [tables.read(path, table) for path in sorted(folder.glob("*.csv"))]
    return pd.concat(frames, ignore_index=True) if frames else table.empty()
