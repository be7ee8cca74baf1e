"""The figures on top: planned and given, received and kept, who is at work, the alarm."""

from datetime import datetime

import streamlit as st

from evalkit.monitoring import Overview, overview
from study_app.dashboard.door import is_admitted
from study_app.dashboard.watched import Watched, now

_EVERY = "10s"


@st.fragment(run_every=_EVERY)
def draw_headline(watched: Watched) -> None:
    """The headline; it draws itself anew every few seconds, while the login lasts."""
    if not is_admitted(watched.door):
        st.rerun()  # the whole page, which goes no further than the door
    state = overview(watched.store, watched.received, now())
    _draw_state(state)
    _draw_votes(state)
    counts = ", ".join(f"{n:,} {stage}" for stage, n in state.annotators.items())
    renewed = f"as of {clock(state.at)} UTC, renewed every {_EVERY.removesuffix('s')} seconds"
    st.write(f"Annotators: {counts}; {renewed}")


def clock(at: str | None) -> str:
    """A time of the database in words, to the minute."""
    return "not known" if at is None else f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M}"


def _draw_state(state: Overview) -> None:
    if state.reception.alarm:
        st.error(state.reception.alarm, icon=":material/warning:")
    if state.vote_source:
        st.warning(f"{state.vote_source}: no person voted here", icon=":material/science:")
    if state.paused:
        st.warning(f"Paused since {clock(state.paused['at'])} UTC: {state.paused['reason']}")
    if state.is_complete:
        st.success("The planned votes are there; the study may be analysed: evalkit analyze")


def _draw_votes(state: Overview) -> None:
    reception = state.reception
    share = state.given / state.planned if state.planned else 0.0
    st.progress(share, f"{state.given:,} of {state.planned:,} planned votes ({share:.0%})")
    figures = {
        "At work now": f"{state.annotators['at work']:,}",
        "Votes per hour": f"{state.per_hour:,.0f}",
        "Expected end (UTC)": clock(state.expected_end) if not state.is_complete else "reached",
        "Received": f"{reception.received:,}",
        "Kept": f"{reception.kept:,}",
        "Withdrawn": f"{reception.withdrawn:,}",
        "Open trials": f"{state.open_leases:,}",
    }
    columns = st.columns([1, 1, 1.6, 1, 1, 1, 1])
    for column, (name, figure) in zip(columns, figures.items(), strict=True):
        column.metric(name, figure, help=_HELP.get(name))


_HELP = {
    "Received": "Every vote that arrived: with practice, checks, repeats and corrections.",
    "Kept": "Those of them in the database, and votes of simulated annotators.",
    "Votes per hour": "Planned votes over the last hour, or since the first vote.",
}
