"""The attention of one sentence as a table: source pieces across, target pieces down, the darker the more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from nmt.explain.explained import END, Explained, Written
from nmt.explain.markup import clipped, escaped, percent, piece_label

LEVELS = 10
"Shades."
LEAST = 0.05
"Weights below it are left blank."
LEAST_NAMED = 0.1
"Weights below it are not named in full, which is most of what a page would weigh."


def matrix(entry: Explained) -> str:
    """A table in a box that scrolls; nothing where there is no attention.

    Weights are written in per cent; the pointer shows the two pieces of the larger ones. Blank cells side by side are
    one, so that a long sentence is not a large page.
    """
    rows = [step for step in entry.written() if step.weights]
    if not rows:
        return ""
    columns = [*entry.source_pieces, END]
    unknown = set(entry.unknown)
    heads = "".join(
        f'<th scope="col">{piece_label(piece, unknown=index in unknown)}</th>' for index, piece in enumerate(columns)
    )
    body = "".join(f'<tr><th scope="row">{piece_label(row.piece)}</th>{_cells(row, columns)}</tr>\n' for row in rows)
    return (
        '<div class="scroll" tabindex="0" role="group" aria-label="Attention">'
        f'<table class="matrix" style="--n:{len(columns)};--m:{len(rows)}"><thead><tr><td></td>{heads}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def _cells(row: Written, columns: Sequence[str]) -> str:
    best = max(row.weights)
    cells = []
    for blank, group in groupby(enumerate(row.weights), lambda item: item[1] < LEAST):
        found = list(group)
        if blank:
            span = f' colspan="{len(found)}"' if len(found) > 1 else ""
            cells.append(f"<td{span}></td>")
            continue
        for index, weight in found:
            number = f"{100 * weight:.0f}"
            number = f"<b>{number}</b>" if weight == best else number
            cells.append(f'<td class="a{shade(weight)}"{_title(columns[index], row.piece, weight)}>{number}</td>')
    return "".join(cells)


def _title(source: str, piece: str, weight: float) -> str:
    """What the pointer shows: whose weight it is."""
    if weight < LEAST_NAMED:
        return ""
    text = escaped(f"{clipped(source)} → {clipped(piece)}: {percent(weight)}")
    return f' title="{text}"'


def shade(weight: float) -> int:
    """1 to LEVELS."""
    return min(LEVELS, 1 + int(weight * LEVELS))
