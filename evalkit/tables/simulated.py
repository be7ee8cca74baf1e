"""The label that every table carries whose votes are simulated."""

import pandas as pd

from evalkit.tables.columns import SIMULATED


def label_simulated(frame: pd.DataFrame, simulated: bool) -> pd.DataFrame:
    """The frame, with a column that says SIMULATED VOTES in every row where that is so."""
    return frame.assign(vote_source=SIMULATED) if simulated else frame


def is_simulated(frame: pd.DataFrame) -> bool:
    """Whether any row of the table rests on simulated votes."""
    return "vote_source" in frame.columns and bool((frame["vote_source"] == SIMULATED).any())
