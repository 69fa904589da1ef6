"""Tables as Markdown and as plain text; `templates/report.html` has them as HTML."""

from __future__ import annotations

from collections.abc import Sequence

Rows = Sequence[Sequence[object]]


def column_sides(align: str, columns: int) -> str:
    """A letter for each column, l, r or c. align: those of the first ones; what is left out is right, column 0 left."""
    return align + "".join("l" if column == 0 else "r" for column in range(len(align), columns))


def markdown_table(header: Sequence[str], rows: Rows, align: str = "") -> str:
    """A Markdown table, padded so that it reads as text too; without a line end after it."""
    cells = [[_markdown_cell(cell) for cell in row] for row in (header, *rows)]
    sides = column_sides(align, len(header))
    widths = [max(3, width) for width in _widths(cells)]
    rules = [
        {"l": "-" * width, "r": "-" * (width - 1) + ":", "c": ":" + "-" * (width - 2) + ":"}[side]
        for side, width in zip(sides, widths, strict=True)
    ]
    return "\n".join(f"| {' | '.join(_justified(row, widths, sides))} |" for row in (cells[0], rules, *cells[1:]))


def text_table(header: Sequence[str], rows: Rows, align: str = "") -> str:
    """The same for a terminal; without a line end after it."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths, sides = _widths(cells), column_sides(align, len(header))
    return "\n".join("  ".join(_justified(row, widths, sides)).rstrip() for row in cells)


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _justified(row: Sequence[str], widths: Sequence[int], sides: str) -> list[str]:
    pad = {"l": str.ljust, "r": str.rjust, "c": str.center}
    return [pad[side](cell, width) for cell, width, side in zip(row, widths, sides, strict=True)]


def _markdown_cell(cell: object) -> str:
    return " ".join(str(cell).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
