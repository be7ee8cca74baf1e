"""The page as a Streamlit component: its HTML, CSS and JavaScript are the files in page/."""

from pathlib import Path

import streamlit as st

_PAGE = Path(__file__).parent / "page"
ICON = str(_PAGE / "icon.svg")

_SCRIPTS = ("outbox.js", "server.js", "session.js")  # joined: a component has one script

# Registered once, at import: a script that registers it would do so at every run.
session_page = st.components.v2.component(
    "evalkit_session",
    html=(_PAGE / "session.html").read_text("utf-8"),
    css=(_PAGE / "session.css").read_text("utf-8"),
    js="\n".join((_PAGE / name).read_text("utf-8") for name in _SCRIPTS),
)
