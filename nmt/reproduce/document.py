"""A report as a list of parts, written once and rendered as Markdown and as HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nmt.packages import MissingPackage
from nmt.reproduce.page import bullets, html_table, markdown_table, page, paragraph
from nmt.reproduce.pictures import NO_PICTURES


@dataclass(frozen=True)
class Heading:
    """A section begins."""

    text: str


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
    """A table; align as in `page.html_table`."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    align: str = ""


@dataclass(frozen=True)
class Picture:
    """An SVG. name: of its file beside the Markdown. draw: makes it; description: for those who cannot see it."""

    name: str
    description: str
    draw: Callable[[], str]


@dataclass(frozen=True)
class Ready:
    """A part that another module renders itself."""

    markdown: str
    html: str


Part = Heading | Text | Bullets | Table | Picture | Ready


def draw_pictures(parts: Sequence[Part]) -> dict[str, str]:
    """Name -> SVG of every picture; none without matplotlib."""
    try:
        return {part.name: part.draw() for part in parts if isinstance(part, Picture)}
    except MissingPackage:
        return {}


def as_markdown(title: str, parts: Sequence[Part], pictures: dict[str, str]) -> str:
    """The report as Markdown; pictures are files beside it."""
    return "\n\n".join([f"# {title}", *(_markdown(part, pictures) for part in parts)]) + "\n"


def as_html(title: str, parts: Sequence[Part], pictures: dict[str, str]) -> str:
    """The report as one page that needs no other file."""
    return page(title, "\n".join(_html(part, pictures) for part in parts))


def _markdown(part: Part, pictures: dict[str, str]) -> str:
    if isinstance(part, Heading):
        return f"## {part.text}"
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Bullets):
        return "\n".join(f"- {line}" for line in part.lines)
    if isinstance(part, Table):
        return markdown_table(part.header, part.rows, part.align)
    if isinstance(part, Picture):
        return f"![{part.description}]({part.name}.svg)" if part.name in pictures else NO_PICTURES
    return part.markdown


def _html(part: Part, pictures: dict[str, str]) -> str:
    if isinstance(part, Heading):
        return f"<h2>{html.escape(part.text)}</h2>"
    if isinstance(part, Text):
        return paragraph(part.text, "note" if part.note else "")
    if isinstance(part, Bullets):
        return bullets(part.lines)
    if isinstance(part, Table):
        return html_table(part.header, part.rows, part.align)
    if isinstance(part, Picture):
        return pictures.get(part.name) or paragraph(NO_PICTURES, "note")
    return part.html
