"""A report as a list of parts, written once and rendered as Markdown, as HTML and as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nmt.packages import MissingPackage
from nmt.report.pictures import NO_PICTURES
from nmt.report.render import render
from nmt.report.tables import Rows, column_sides, markdown_table, text_table

TERMINAL_WIDTH = 100


@dataclass(frozen=True)
class Heading:
    """A section begins. level: 2, or 3 for a section in one."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph. note: small print."""

    text: str
    note: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table, whose cells are text. align: a letter a column, as in `nmt.report.tables.column_sides`."""

    header: Sequence[str]
    rows: Rows
    align: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError("a row needs as many cells as there are columns")

    @property
    def sides(self) -> str:
        """A letter for every column."""
        return column_sides(self.align, len(self.header))


@dataclass(frozen=True)
class Picture:
    """An SVG. name: of its file beside the Markdown. draw: makes it; description: for those who cannot see it."""

    name: str
    description: str
    draw: Callable[[], str]


Part = Heading | Text | Bullets | Table | Picture


def draw_pictures(parts: Sequence[Part]) -> dict[str, str]:
    """Name -> SVG of every picture; none without matplotlib."""
    try:
        return {part.name: part.draw() for part in parts if isinstance(part, Picture)}
    except MissingPackage:
        return {}


def as_html(title: str, parts: Sequence[Part], pictures: dict[str, str]) -> str:
    """The report as one page that needs no other file."""
    named = [(type(part).__name__, part) for part in parts]
    drawn = {name: Markup(svg) for name, svg in pictures.items()}
    return render("report.html", title=title, parts=named, pictures=drawn, no_pictures=NO_PICTURES)


def as_markdown(title: str, parts: Sequence[Part], pictures: dict[str, str]) -> str:
    """The report as Markdown; pictures are files beside it."""
    return "\n\n".join([f"# {title}", *(_markdown(part, pictures) for part in parts)]) + "\n"


def _markdown(part: Part, pictures: dict[str, str]) -> str:
    match part:
        case Heading():
            return f"{'#' * part.level} {part.text}"
        case Text():
            return part.text
        case Bullets():
            return "\n".join(f"- {line}" for line in part.lines)
        case Table():
            return markdown_table(part.header, part.rows, part.align)
        case Picture():
            return f"![{part.description}]({part.name}.svg)" if part.name in pictures else NO_PICTURES


def as_text(parts: Sequence[Part]) -> str:
    """The report for a terminal, without its pictures."""
    return "\n\n".join(_text(part) for part in parts if not isinstance(part, Picture))


def _text(part: Part) -> str:
    match part:
        case Heading() | Text():
            return textwrap.fill(part.text, TERMINAL_WIDTH)
        case Bullets():
            return "\n".join(textwrap.fill(f"- {line}", TERMINAL_WIDTH, subsequent_indent="  ") for line in part.lines)
        case Table():
            return text_table(part.header, part.rows, part.align)
        case Picture():
            return ""
