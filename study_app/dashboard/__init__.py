"""The coordinator's page, a process of its own: how the study goes, who to block, when to pause."""
