"""Tables of scores written beside those of other weights that are still about this study."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evalkit import tables
from evalkit.content import Contents


def write_beside(
    frame: pd.DataFrame,
    path: Path,
    table: tables.Table,
    about: Sequence[str],
    contents: Contents,
    run: tuple[str, ...] = ("weights",),
) -> None:
    """Write the rows of a run, and keep those of other runs that are in the file already.

    A run is told by its values in the columns `run`. Of other runs those rows stay whose content is
    still that of the study: `contents`, by the columns `about`. A row that does not name its
    content (of an older evalkit) goes.
    """
    if path.is_file():
        before = tables.read(path, table)
        own = (before[list(run)] == frame[list(run)].iloc[0]).all(axis=1)
        kept = before[~own & _is_current(before, about, contents)]
        frame = pd.concat([kept, frame], ignore_index=True) if len(kept) else frame
    tables.write(frame, path, table)


def _is_current(before: pd.DataFrame, about: Sequence[str], contents: Contents) -> pd.Series:
    if "content" not in before:
        return pd.Series(False, index=before.index)
    names = before[list(about)].itertuples(index=False, name=None)
    now = [contents.get(name, "") for name in names]
    return (before["content"] != "") & (before["content"] == now)
