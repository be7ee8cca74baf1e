"""How metrics find, read and check their weights; not a metric."""
