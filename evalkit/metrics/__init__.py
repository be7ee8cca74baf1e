"""Metrics of single images, one file each; loading this loads no torch."""

from evalkit.metrics.registry import metric_names
from evalkit.metrics.run import score

__all__ = ["metric_names", "score"]
