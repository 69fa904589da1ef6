"""Pages and tables of the reports: one HTML file that needs no other, and tables as HTML, Markdown and plain text."""

from __future__ import annotations

import html
from collections.abc import Sequence

from nmt.explain.markup import document

Rows = Sequence[Sequence[object]]

CSS = """
:root { color-scheme: light }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; color: #1a1a1a; background: #fff;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem }
a { color: #0050a0 }
code, pre { font-size: .9em } pre { overflow-x: auto }
.scroll { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ccc; text-align: left; vertical-align: bottom }
td { white-space: nowrap } th { border-bottom: 2px solid #1a1a1a }
.r { text-align: right } .c { text-align: center }
svg { max-width: 100%; height: auto }
@media screen and (max-width: 40rem) {
  ul { padding-left: 1.2rem } table { font-size: .8rem } th, td { padding: .25rem .4rem }
  th:first-child, td:first-child { position: sticky; left: 0; background: #fff }
}
.note { color: #444; font-size: .9rem }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt } table { font-size: 8.5pt }
  .scroll { overflow: visible } td { white-space: normal }
  h2 { break-after: avoid } tr, svg { break-inside: avoid }
}
""".strip()


def page(title: str, body: str) -> str:
    """A whole HTML document. title: text. body: HTML that follows the heading."""
    return document(title, CSS, body)


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text. kind: "note" for small print."""
    return f"<p{_class(kind)}>{html.escape(text)}</p>"


def bullets(lines: Sequence[str]) -> str:
    """A list of plain texts."""
    return "<ul>\n" + "".join(f"<li>{html.escape(line)}</li>\n" for line in lines) + "</ul>"


def html_table(header: Sequence[str], rows: Rows, align: str = "") -> str:
    """A table in a box of its own that scrolls. Cells are text and are escaped.

    align: a letter for each column, l, r or c; what is left out is right, the first column left.
    """
    sides = [_class("" if side == "l" else side) for side in _sides(align, len(header))]
    head = "".join(f"<th{side}>{html.escape(cell)}</th>" for side, cell in zip(sides, header, strict=True))
    body = [
        "<tr>" + "".join(f"<td{side}>{html.escape(str(cell))}</td>" for side, cell in zip(sides, row, strict=True))
        for row in rows
    ]
    lines = "".join(f"{line}</tr>\n" for line in body)
    return (
        f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{lines}</tbody>\n</table></div>"
    )


def markdown_table(header: Sequence[str], rows: Rows, align: str = "") -> str:
    """The same as a Markdown table, padded so that it reads as text too; without a line end after it."""
    cells = [[_markdown_cell(cell) for cell in row] for row in (header, *rows)]
    sides = _sides(align, len(header))
    widths = [max(3, width) for width in _widths(cells)]
    rules = [
        {"l": "-" * width, "r": "-" * (width - 1) + ":", "c": ":" + "-" * (width - 2) + ":"}[side]
        for side, width in zip(sides, widths, strict=True)
    ]
    return "\n".join(f"| {' | '.join(_padded(row, widths, sides))} |" for row in (cells[0], rules, *cells[1:]))


def text_table(header: Sequence[str], rows: Rows, align: str = "") -> str:
    """The same for a terminal; without a line end after it."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths, sides = _widths(cells), _sides(align, len(header))
    return "\n".join("  ".join(_padded(row, widths, sides)).rstrip() for row in cells)


def _sides(align: str, columns: int) -> str:
    return align + "".join("l" if column == 0 else "r" for column in range(len(align), columns))


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _padded(row: Sequence[str], widths: Sequence[int], sides: str) -> list[str]:
    pad = {"l": str.ljust, "r": str.rjust, "c": str.center}
    return [pad[side](cell, width) for cell, width, side in zip(row, widths, sides, strict=True)]


def _markdown_cell(cell: object) -> str:
    return " ".join(str(cell).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
