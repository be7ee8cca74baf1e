"""Tables to take away as CSV: annotators, votes, sessions, the log. No model has a name."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from evalkit.monitoring import annotator_rows, vote_rows
from evalkit.store import Store
from evalkit.tables import label_simulated
from study_app.dashboard.watched import Watched, now

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a text that begins so


def draw_exports(watched: Watched) -> None:
    """A button per table; the file is made when it is pressed."""
    st.write("Votes are in screen words (left, right) and name no model.")
    files = exports(watched.store)
    for column, (name, make) in zip(st.columns(6), files.items(), strict=False):
        column.download_button(
            f"{name}.csv", make, file_name=f"{name}.csv", mime="text/csv", on_click="ignore"
        )


def exports(store: Store) -> dict[str, Callable[[], bytes]]:
    """By name, what makes each file; after simulated votes every row says SIMULATED VOTES."""
    made: dict[str, Callable[[], pd.DataFrame]] = {
        "annotators": lambda: annotator_rows(store, now()),
        "votes": lambda: vote_rows(store),
        "sessions": store.sessions,
        "log": store.log,
    }
    return {
        name: lambda make=make: csv_bytes(label_simulated(make(), store.has_simulated()))
        for name, make in made.items()
    }


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """The table as CSV in UTF-8; a text that a spreadsheet would run gets an apostrophe before."""
    safe = frame.map(
        lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
    )
    return safe.to_csv(index=False, lineterminator="\n").encode()
