"""What a coordinator can do: block and unblock an annotator, pause and resume the study."""

from collections.abc import Sequence

import streamlit as st

from study_app.dashboard.watched import Watched, now

_LONGEST_REASON = 500  # characters


def draw_controls(watched: Watched) -> None:
    """The controls side by side; each change is recorded in the log and can be taken back."""
    study, people = st.columns(2, gap="large")
    with study:
        st.subheader("The study")
        _draw_pause(watched)
    with people:
        st.subheader("One annotator")
        _draw_block(watched)


def _draw_pause(watched: Watched) -> None:
    if watched.store.paused() is not None:
        st.write("Annotators read that the study pauses, and go on where they were afterwards.")
        if st.button("Resume the study", type="primary"):
            watched.store.resume(now())
            st.rerun()
        return
    with st.form("pause", clear_on_submit=True):
        reason = st.text_input("Why the study is paused", max_chars=_LONGEST_REASON)
        if st.form_submit_button("Pause the study") and _is_given(reason):
            watched.store.pause(reason.strip(), now())
            st.rerun()


def _draw_block(watched: Watched) -> None:
    everybody = watched.store.annotators()
    blocked = everybody["blocked_at"].notna()
    withdrawn = everybody["withdrawn_at"].notna()
    with st.form("block", clear_on_submit=True):
        free = everybody.loc[~blocked & ~withdrawn, "annotator_id"].tolist()
        chosen = _choose("Annotator to block", free)
        reason = st.text_input("Why they are blocked", max_chars=_LONGEST_REASON)
        if st.form_submit_button("Block") and _is_given(chosen, reason):
            watched.store.block(chosen, reason.strip(), now())
            st.rerun()
    if blocked.any():
        with st.form("unblock", clear_on_submit=True):
            chosen = _choose(
                "Annotator to unblock", everybody.loc[blocked, "annotator_id"].tolist()
            )
            if st.form_submit_button("Unblock") and _is_given(chosen):
                watched.store.unblock(chosen, now())
                st.rerun()
    st.caption("A blocked annotator gets no more trials; their votes stay.")


def _choose(label: str, ids: Sequence[str]) -> str | None:
    return st.selectbox(label, ids, index=None, placeholder="Type to search")


def _is_given(*answers: str | None) -> bool:
    """Whether all fields are filled; if not, says so."""
    given = all(answer is not None and answer.strip() for answer in answers)
    if not given:
        st.warning("Fill in every field of this form first.")
    return given
