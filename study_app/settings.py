"""Streamlit's settings for every page of the app, with the one neutral theme."""

SETTINGS = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "runner.postScriptGC": False,  # 90 ms of CPU after each run otherwise
    "server.enableStaticServing": False,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxMessageSize": 5,  # MB
    "server.maxUploadSize": 1,  # MB
    "theme.base": "light",
    "theme.backgroundColor": "#cccccc",
    "theme.primaryColor": "#333333",
    "theme.secondaryBackgroundColor": "#c0c0c0",
    "theme.textColor": "#1a1a1a",
}
