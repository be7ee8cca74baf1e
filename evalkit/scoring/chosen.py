"""Which metrics a command is about."""

from collections.abc import Sequence

from evalkit.errors import EvalkitError
from evalkit.metrics import metric_names

ALL = "all"  # every metric of single images


def chosen_metrics(named: Sequence[str], weights: str | None) -> list[str]:
    """The metrics named, each once; `all` names every metric of single images.

    Raises EvalkitError where weights are named for several, or are empty.
    """
    if weights is not None and not weights.strip():
        raise EvalkitError(
            "score: --weights is empty; allowed is the name or the place of weights; name them, or "
            "leave it out for the metric's own"
        )
    metrics = [one for name in named for one in (metric_names("image") if name == ALL else [name])]
    metrics = list(dict.fromkeys(metrics))
    if weights is not None and len(metrics) > 1:
        raise EvalkitError(
            f"score: --weights {weights} with {len(metrics)} metrics; weights are those of one "
            "metric; score that one by itself"
        )
    return metrics
