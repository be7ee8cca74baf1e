"""Tables to take away as CSV: annotators, votes, sessions, the log. No model has a name."""

import pandas as pd
import streamlit as st

from evalkit.monitoring import annotator_rows, vote_rows
from study_app.dashboard.watched import Watched, now

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a text that begins so


def draw_exports(watched: Watched) -> None:
    """A button per table; the file is made when it is pressed."""
    store = watched.store
    made = {
        "annotators": lambda: annotator_rows(store, now()),
        "votes": lambda: vote_rows(store),
        "sessions": store.sessions,
        "log": store.log,
    }
    st.write("Votes are in screen words (left, right) and name no model.")
    for column, (name, make) in zip(st.columns(6), made.items(), strict=False):
        column.download_button(
            f"{name}.csv",
            lambda make=make: csv_bytes(make()),
            file_name=f"{name}.csv",
            mime="text/csv",
            on_click="ignore",
        )


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """The table as CSV in UTF-8; a text that a spreadsheet would run gets an apostrophe before."""
    safe = frame.map(
        lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
    )
    return safe.to_csv(index=False, lineterminator="\n").encode()
