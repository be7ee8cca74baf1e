"""Figures as files: SVG that follows a page's light and dark colours, PDF for a paper."""

import re
from collections.abc import Mapping
from html import escape, unescape
from io import BytesIO, StringIO

from matplotlib import rc_context
from matplotlib.figure import Figure

from evalkit.report.figures import CARD, GRID, INK, MUTED, PALE, STAMP, STRONG, STYLE

_COLOUR_NAMES = {
    INK: "ink", MUTED: "muted", GRID: "grid", CARD: "card",
    STRONG: "strong", PALE: "pale", STAMP: "stamp",
}  # fmt: skip


def svg(figure: Figure, name: str, description: str, links: Mapping[str, str] | None = None) -> str:
    """The figure as an `<svg>` element: text as text, colours as CSS variables with a default.

    Ids begin with `name`, so that several figures may stand in one page. `description` is what a
    screen reader says of the whole, and `links` what it says of each address that the figure leads
    to; KeyError on an address that it leaves out.
    """
    stream = StringIO()
    with rc_context(STYLE | {"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", stream.getvalue(), flags=re.DOTALL)
    text = text[text.index("<svg") :]
    text = re.sub(r'(\bid="|<use xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in _COLOUR_NAMES.items():
        text = text.replace(colour, f"var(--{variable}, {colour})")
    text = re.sub(
        r'<a xlink:href="(.*?)" target="_blank"', lambda found: _link(found[1], links or {}), text
    )
    role = "group" if links else "img"  # what is one image has no parts to go to
    return text.replace(
        "<svg ", f'<svg role="{role}" aria-label="{escape(description)}" ', 1
    ).strip()


def _link(address: str, links: Mapping[str, str]) -> str:
    """The start of a link, its address escaped as it was, with a name."""
    return f'<a href="{address}" aria-label="{escape(links[unescape(address)])}"'


def pdf(figure: Figure) -> bytes:
    """The figure as a PDF file with its fonts inside; the same figure gives the same bytes."""
    stream = BytesIO()
    with rc_context(STYLE | {"pdf.fonttype": 42}):
        figure.savefig(stream, format="pdf", metadata={"CreationDate": None})
    return stream.getvalue()
