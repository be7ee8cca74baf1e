"""The Streamlit script: looks up whom the link invites and mounts their page."""

import streamlit as st

from study_app.component import ICON, session_page
from study_app.served import current
from study_app.views import page_view

served = current()
st.set_page_config(page_title=served.texts["title"], page_icon=ICON, layout="wide")
# Streamlit's own bar and its "connection error" dialog: the page has its own words for a server
# that does not answer.
st.html("<style>[data-testid=stHeader], [data-testid=stDialog] { display: none }</style>")
session_page(data=page_view(served, st.query_params.get("token", "")), key="session")
