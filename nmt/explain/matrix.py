"""The attention of one sentence as a table: source pieces across, target pieces down, the darker the more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from nmt.explain.explained import END, Explained, Written
from nmt.report.shown import clipped, percent

LEVELS = 10
"Shades."
LEAST = 0.05
"Weights below it are left blank."
LEAST_NAMED = 0.1
"Weights below it are not named in full, which is most of what a page would weigh."


@dataclass(frozen=True)
class Cell:
    """A weight, or so many blanks side by side."""

    weight: float = 0.0
    best: bool = False
    "Whether it is the largest of its row."
    title: str = ""
    "What the pointer shows: whose weight it is."
    blanks: int = 0


@dataclass(frozen=True)
class AttentionMatrix:
    """What the page shows of a sentence's attention."""

    columns: list[tuple[str, bool]]
    "Source pieces and the end, and whether the model does not know them."
    rows: list[tuple[str, list[Cell]]]
    "Target pieces and their cells. Blanks side by side are one, so that a long sentence is not a large page."


def matrix(entry: Explained) -> AttentionMatrix | None:
    """The table; None where there is no attention."""
    rows = [step for step in entry.written() if step.weights]
    if not rows:
        return None
    columns = [*entry.source_pieces, END]
    return AttentionMatrix(
        columns=[(piece, index in entry.unknown) for index, piece in enumerate(columns)],
        rows=[(row.piece, list(_cells(row, columns))) for row in rows],
    )


def _cells(row: Written, columns: Sequence[str]) -> list[Cell]:
    best, cells = max(row.weights), []
    for blank, group in groupby(enumerate(row.weights), lambda item: item[1] < LEAST):
        found = list(group)
        if blank:
            cells.append(Cell(blanks=len(found)))
        else:
            cells += [Cell(weight, weight == best, _title(columns[index], row, weight)) for index, weight in found]
    return cells


def _title(source: str, row: Written, weight: float) -> str:
    return "" if weight < LEAST_NAMED else f"{clipped(source)} → {clipped(row.piece)}: {percent(weight)}"


def shade(weight: float) -> int:
    """1 to LEVELS."""
    return min(LEVELS, 1 + int(weight * LEVELS))
