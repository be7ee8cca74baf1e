"""Whether whoever looks may look: asked at each run of the script, before anything is read."""

import streamlit as st

from study_app.dashboard.accounts import Accounts
from study_app.dashboard.gate import COOKIE, Logins


def is_admitted(door: Logins | Accounts) -> bool:
    """Whether the person is logged in and allowed; if not, the page says how to get in."""
    if isinstance(door, Logins):
        # The gate let this connection in; a login can have ended since.
        admitted = door.knows(st.context.cookies.get(COOKIE))
        if not admitted:
            st.info("Your login has ended. Load this page again to log in.")
        return admitted
    user = st.user.to_dict()
    if door.allows(user):
        return True
    st.title("Coordinator")
    if user.get("is_logged_in"):
        st.error("This account is not on the list of those who may see the study.")
        st.button("Log out", on_click=st.logout)
    else:
        st.button("Log in", on_click=st.login, type="primary")
    return False


def draw_exit(door: Logins | Accounts) -> None:
    """The way out."""
    if isinstance(door, Logins):
        st.html('<a href="/logout" target="_self">Log out</a>')
    else:
        st.button("Log out", on_click=st.logout)
