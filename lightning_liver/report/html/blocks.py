"""Parts of a report: sections of blocks, each of a kind that the template can show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

from markupsafe import Markup


@dataclass(frozen=True)
class Text:
    """A paragraph; `role` is plain, missing (the run lacks something) or note (on the block above)."""

    text: str
    role: str = "plain"
    kind: ClassVar[str] = "text"


class Cell(NamedTuple):
    """A cell of a table: text, small text below it, and the key to sort by."""

    text: str
    note: str = ""
    key: float | str | None = None


class Column(NamedTuple):
    """A column; a numeric one is aligned right."""

    name: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first cell is the heading of its row."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Chart:
    """A drawing in the colours of the page; `alt` describes it in words."""

    svg: Markup
    alt: str
    caption: str = ""
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Picture:
    """A raster picture embedded in the page."""

    uri: str
    alt: str
    caption: str
    width: int
    height: int
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Row:
    """Blocks side by side if the page is wide enough; `role` is plain, or pictures, which stay small on a phone."""

    blocks: Sequence["Block"]
    title: str = ""
    role: str = "plain"
    kind: ClassVar[str] = "row"


@dataclass(frozen=True)
class Code:
    """Preformatted lines."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown on request."""

    summary: str
    blocks: Sequence["Block"]
    kind: ClassVar[str] = "folded"


Block: TypeAlias = Text | Table | Chart | Picture | Row | Code | Folded


class Section(NamedTuple):
    """A part of the report with a heading that can be linked to."""

    name: str
    title: str
    blocks: Sequence[Block]


def missing(text: str) -> Text:
    """Make a paragraph in place of something that the run lacks."""
    return Text(text, role="missing")


def note(text: str) -> Text:
    """Make a note on the block above."""
    return Text(text, role="note")
