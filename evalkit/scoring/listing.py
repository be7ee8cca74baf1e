"""The metrics as text, a line of a table for each; loads no metric."""

from dataclasses import asdict

from evalkit.metrics import metric_card, metric_names
from evalkit.metrics.registry import KINDS

_COLUMNS = ("name", "kind", "weights", "licence", "range", "better", "source")


def list_metrics() -> str:
    """A line per metric in aligned columns, by kind and name, and what the kinds are."""
    names = [name for kind in KINDS for name in metric_names(kind)]
    rows = [_COLUMNS, *(_row(name) for name in names)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(
        [
            *lines,
            "",
            "Kinds: image (a score per image), pair (which of two images is better), set (a model's"
            " images against a reference), spread (images of one prompt across seeds)",
            "Run one: evalkit score STUDY --metric NAME",
        ]
    )


def _row(name: str) -> tuple[str, ...]:
    card = asdict(metric_card(name))
    card["better"] = "higher" if card["higher_is_better"] else "lower"
    return name, *(card[column] for column in _COLUMNS[1:])
