"""Metrics that judge images, one file each; loading this loads no torch."""

from evalkit.metrics.registry import (
    Card,
    identify_metric,
    load_metric,
    metric_card,
    metric_names,
)

__all__ = ["Card", "identify_metric", "load_metric", "metric_card", "metric_names"]
