"""Tables of scores written beside those of other weights that are still about this study."""

from pathlib import Path

import pandas as pd

from evalkit import tables


def write_beside(
    frame: pd.DataFrame,
    path: Path,
    table: tables.Table,
    there: tuple[str, set[str]],
    run: tuple[str, ...] = ("weights",),
) -> None:
    """Write the rows of a run, and keep those of other runs that are in the file already.

    A run is told by its values in the columns `run`. Of other runs those rows stay whose value in
    the column `there[0]` is one of `there[1]`: what they are about is still of the study.
    """
    if path.is_file():
        before = tables.read(path, table)
        own = (before[list(run)] == frame[list(run)].iloc[0]).all(axis=1)
        kept = before[~own & before[there[0]].isin(there[1])]
        frame = pd.concat([kept, frame], ignore_index=True) if len(kept) else frame
    tables.write(frame, path, table)
