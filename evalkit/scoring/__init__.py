"""The step from a study's images to scores: read, ask the metrics, write; loads no torch itself."""

from evalkit.scoring.run import score

__all__ = ["score"]
