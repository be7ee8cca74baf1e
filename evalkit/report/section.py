"""A section of the page: parts with words, figures and tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from markupsafe import Markup
from matplotlib.figure import Figure

from evalkit.report.cells import Sheet
from evalkit.report.vector import svg


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: its file name, what it shows in words, and how it is drawn.

    `links` says where each of the addresses leads that the figure has.
    """

    name: str
    caption: str
    figure: Figure
    described: str
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def svg(self) -> Markup:
        """The figure as an `<svg>` element."""
        return Markup(svg(self.figure, self.name, self.described, self.links))


@dataclass(frozen=True)
class Part:
    """Words, then figures, then tables, under a heading of their own where there is one.

    Words may hold markup of ours (`Markup`); other text is escaped. `absent` says what is missing
    where there is nothing to show.
    """

    heading: str = ""
    words: list[str] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    absent: str = ""


@dataclass(frozen=True)
class Section:
    """A section with a heading, named in the contents and in links by its id."""

    id: str
    title: str
    parts: list[Part]

    @property
    def drawings(self) -> list[Drawing]:
        """Every figure of the section."""
        return [drawing for part in self.parts for drawing in part.drawings]
