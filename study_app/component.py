"""The page as a Streamlit component: its HTML, CSS and JavaScript are the files in page/."""

from pathlib import Path

import streamlit as st

_PAGE = Path(__file__).parent / "page"
ICON = str(_PAGE / "icon.svg")

_STYLES = ("session", "card", "trial")
_SCRIPTS = (  # joined in this order: a component has one script
    "elements", "outbox", "server", "pictures", "keys", "pace", "lens", "bar", "trial", "card",
    "cards", "viewing", "withdrawal", "presses", "session",
)  # fmt: skip


def _joined(names: tuple[str, ...], kind: str) -> str:
    return "\n".join((_PAGE / f"{name}.{kind}").read_text("utf-8") for name in names)


# Registered once, at import: a script that registers it would do so at every run.
session_page = st.components.v2.component(
    "evalkit_session",
    html=_joined(("session",), "html"),
    css=_joined(_STYLES, "css"),
    js=_joined(_SCRIPTS, "js"),
)
