"""How metrics name, find, read and check their weights; no metric itself."""
