"""Table 3 as text, Markdown, JSON and a page with a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from nmt.report.document import TERMINAL_WIDTH, Bullets, Heading, Part, Picture, Table, Text
from nmt.report.tables import text_table
from nmt.report.writing import write_files
from nmt.reproduce.rowreport import draw_scores, score_table
from nmt.reproduce.rowscores import reading
from nmt.reproduce.table3 import Table3

STEM = "table3"
TEXTS = {"ptb": "the Penn Treebank", "text8": "text8"}
"What the paper's columns are of."
KEY = (
    "Spearman's rho of cosine similarity and people's judgement. In and Out: rows of the untied model's input and "
    "output matrix. Tied: of the one matrix of the tied model. With several seeds ± is half the 95% interval of the "
    "mean (Student's t)."
)
COVERED = (
    "A pair of which a word has no row is left out; the column pairs counts those that are left in. The paper does not "
    "say how many its models cover. The program that comes with the benchmarks (Faruqui and Dyer, 2014) leaves out "
    "such pairs as well."
)


def table3_title(table: Table3) -> str:
    """The heading of the report."""
    return (
        f"Table 3{f' on {table.name}' if table.name else ''}: the rows of a small language model, scale {table.scale}"
    )


def table3_text(table: Table3) -> str:
    """For a terminal."""
    lines = []
    if table.runs:
        shown = score_table(table.scores)
        lines = [text_table(shown.header, shown.rows)]
        lines += [textwrap.fill(f"- {line}", TERMINAL_WIDTH, subsequent_indent="  ") for line in notes(table)]
    return "\n".join([*lines, *([f"not there yet: {', '.join(table.missing)}"] if table.missing else [])])


def write_table3(table: Table3, folder: Path) -> list[Path]:
    """Write the files; returns their paths."""
    return write_files(folder / STEM, table3_title(table), list(_parts(table)), table.as_dict())


def notes(table: Table3) -> list[str]:
    """The reading, and what must be known with it."""
    lines = reading(table.scores)
    if table.scale != "paper":
        lines.append("these models are narrower and trained for fewer epochs than the paper's: see the order alone")
    return lines


def _parts(table: Table3) -> Iterator[Part]:
    yield Text(table.made.line, note=True)
    if table.missing:
        yield Text(f"Not finished: {', '.join(table.missing)} are not there yet.")
    if not table.runs:
        return
    yield score_table(table.scores)
    yield Text(f"{KEY} The paper's figures are those of {TEXTS[table.column]}.", note=True)
    yield Text(f"{table.words:,} words have a row. {COVERED}", note=True)
    yield Heading("Reading")
    yield Bullets(notes(table))
    yield Picture(
        STEM, "Spearman's rho of each benchmark for the three kinds of rows", lambda: draw_scores(table.scores)
    )
    yield Heading("Every run")
    yield _runs(table)


def _runs(table: Table3) -> Table:
    rows = []
    for run in table.runs:
        perplexity = "-" if run.test_perplexity is None else f"{run.test_perplexity:,.2f}"
        for role, agreements in run.agreements.items():
            rhos = ["-" if (rho := agreements[name].rho) is None else f"{rho:.3f}" for name in table.benchmarks]
            rows.append([f"{run.name}, {role}", *rhos, perplexity])
    return Table(["model, rows", *table.benchmarks, "test perplexity"], rows)
