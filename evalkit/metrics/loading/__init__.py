"""How weights of metrics are named, found and loaded; no metric itself."""
