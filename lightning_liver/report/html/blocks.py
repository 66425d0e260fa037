"""What a report is made of: sections of blocks, each of a kind that the template knows how to show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

from markupsafe import Markup


@dataclass(frozen=True)
class Text:
    """A paragraph; `role` is plain, missing (what the run does not have) or note (how to read what stands above)."""

    text: str
    role: str = "plain"
    kind: ClassVar[str] = "text"


class Cell(NamedTuple):
    """A cell of a table: text, what stands small below it, and what to sort by."""

    text: str
    note: str = ""
    key: float | str | None = None


class Column(NamedTuple):
    """A column: its name, its unit, and whether it is set as numbers are."""

    name: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of cells, of which the first names the row."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Chart:
    """A drawing that takes the colours of the page; `alt` says in words what it shows."""

    svg: Markup
    alt: str
    caption: str = ""
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Picture:
    """A raster picture within the page."""

    uri: str
    alt: str
    caption: str
    width: int
    height: int
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Row:
    """Blocks side by side where the page is wide enough; `role` is plain, or pictures, which stay small on a phone."""

    blocks: Sequence["Block"]
    title: str = ""
    role: str = "plain"
    kind: ClassVar[str] = "row"


@dataclass(frozen=True)
class Code:
    """Lines to be typed or read as they are."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Folded:
    """What is shown on request."""

    summary: str
    blocks: Sequence["Block"]
    kind: ClassVar[str] = "folded"


Block: TypeAlias = Text | Table | Chart | Picture | Row | Code | Folded


class Section(NamedTuple):
    """A part of the report with a heading that can be linked to."""

    name: str
    title: str
    blocks: Sequence[Block]


def missing(what: str) -> Text:
    """In place of what a run does not have."""
    return Text(what, role="missing")


def note(text: str) -> Text:
    """How to read what stands above."""
    return Text(text, role="note")
