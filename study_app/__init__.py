"""The Streamlit app in which annotators vote; it reads only the vote database and public images."""
