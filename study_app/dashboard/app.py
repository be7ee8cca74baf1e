"""The Streamlit script of the dashboard: who may enter, then how the study goes."""

import streamlit as st

from evalkit.errors import StoreError
from study_app.dashboard.controls import draw_controls
from study_app.dashboard.door import draw_exit, is_admitted
from study_app.dashboard.exports import draw_exports
from study_app.dashboard.headline import draw_headline
from study_app.dashboard.sections import draw_annotators, draw_leases, draw_log, draw_pairs
from study_app.dashboard.watched import Watched, current

_SECTIONS = {
    "Annotators": draw_annotators,
    "Pairs": draw_pairs,
    "Open trials": draw_leases,
    "Log": draw_log,
    "Controls": draw_controls,
    "Export": draw_exports,
}

_STYLE = """<style>
[data-testid=stHeader] { display: none }
[data-testid=stMainBlockContainer] { padding: 1.5rem 3rem }
</style>"""


def _draw(watched: Watched) -> None:
    st.html(_STYLE)
    title, renew, leave = st.columns([10, 1.4, 0.8], vertical_alignment="center")
    title.header(watched.name)
    renew.button("Renew tables")  # any press runs the script anew
    with leave:
        draw_exit(watched.door)
    draw_headline(watched)
    for tab, draw in zip(st.tabs(list(_SECTIONS)), _SECTIONS.values(), strict=True):
        with tab:
            draw(watched)


st.set_page_config(page_title="Coordinator", layout="wide")
if is_admitted(current().door):
    try:
        _draw(current())
    except StoreError as error:  # the database is away, or was put in place by another
        st.error(f"The database does not answer as it should: {error}")
