"""Tables of scores written beside those of other weights that are still about this study."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from filelock import FileLock

from evalkit import tables
from evalkit.content import Contents
from evalkit.scoring.metric_run import Run


def write_beside(
    run: Run,
    frame: pd.DataFrame,
    files: Path,
    table: tables.Table,
    about: Sequence[str],
    contents: Callable[[pd.DataFrame], Contents],
    told_by: tuple[str, ...] = ("weights",),
) -> None:
    """Write the rows of a run into the metric's table in `files`, beside those of other runs.

    A run is told by its values in the columns `told_by`. Of other runs those rows stay whose
    content is still that of the study: of the rows there, `contents` by the columns `about`. A row
    that does not name its content (of an older evalkit) goes. A lock in cache/ lets one run after
    the other do so: none loses the rows of another.
    """
    path = files / f"{run.job.metric}.csv"
    run.folder.cache.mkdir(parents=True, exist_ok=True)
    with FileLock(run.folder.cache / f"{run.job.metric}.lock"):
        if path.is_file():
            before = tables.read(path, table)
            own = (before[list(told_by)] == frame[list(told_by)].iloc[0]).all(axis=1)
            kept = before[~own & _is_current(before, about, contents(before))]
            frame = pd.concat([kept, frame], ignore_index=True) if len(kept) else frame
        tables.write(frame, path, table)


def _is_current(before: pd.DataFrame, about: Sequence[str], contents: Contents) -> pd.Series:
    if "content" not in before:
        return pd.Series(False, index=before.index)
    names = before[list(about)].itertuples(index=False, name=None)
    now = [contents.get(name, "") for name in names]
    return (before["content"] != "") & (before["content"] == now)
