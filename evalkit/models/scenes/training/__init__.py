"""Trains the built-in family: `python -m evalkit.models.scenes.training --work DIR`."""
