"""The Streamlit script: mounts the page with its texts; who asks, it learns from its own routes."""

import streamlit as st

from study_app.component import ICON, session_page
from study_app.served import current

texts = current().texts()
st.set_page_config(page_title=texts["title"], page_icon=ICON, layout="wide")
# Streamlit's own bar, its link past that bar, and its "connection error" dialog: the page has its
# own words for a server that does not answer.
HIDDEN = ("stHeader", "stSkipToContent", "stDialog")
names = ", ".join(f"[data-testid={name}]" for name in HIDDEN)
st.html(f"<style>{names} {{ display: none }}</style>")
session_page(data={"texts": texts}, key="session")
