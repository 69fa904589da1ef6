"""Table 2 as text, Markdown, JSON and a page with a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bpe.progress import duration
from nmt.device import machine
from nmt.folder.bundle import versions
from nmt.report.document import Bullets, Heading, Part, Picture, Table, Text
from nmt.report.tables import text_table
from nmt.report.writing import write_files
from nmt.reproduce import paper
from nmt.reproduce.rowreport import draw_scores, score_table
from nmt.reproduce.rowscores import KINDS, differences, reading
from nmt.reproduce.table2 import ALIKE_WORDS, Table2

FORMAT, FORMAT_VERSION = "nmt-table2", 1
STEM = "table2"
TEXT_WIDTH = 100
KEY = (
    "Spearman's rho of cosine similarity and people's judgement, over the pairs both of whose words have a vector. In "
    "and Out: rows of the untied model's input and output matrix. Tied: of the one matrix of the tied model. With "
    "several seeds ± is half the 95% interval of the mean (Student's t)."
)
METHOD = (
    "Skip-gram with negative sampling as in word2vec: windows shrunk uniformly, noise words drawn by their counts to "
    "the power of 3/4, frequent words left out at random, a learning rate that falls linearly. Where the original "
    "program takes pair after pair, here the pairs of four neighbouring words share their noise words, and some blocks "
    "of such words are one update. Both modes of a seed start with the same input matrix and see the same pairs and "
    "noise words."
)


def title(table: Table2) -> str:
    """The heading of the report."""
    return f"Table 2 on {table.order.name or ', '.join(path.name for path in table.order.texts)}: word2vec's rows"


def as_text(table: Table2) -> str:
    """For a terminal."""
    shown = score_table(table.scores) if table.runs else None
    lines = [text_table(shown.header, shown.rows)] if shown else []
    lines += [textwrap.fill(f"- {line}", TEXT_WIDTH, subsequent_indent="  ") for line in reading(table.scores)]
    return "\n".join([*lines, *_missing(table)])


def as_dict(table: Table2) -> dict[str, Any]:
    """For other programs."""
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "command": table.order.command,
        "machine": machine(),
        "versions": versions(),
        "scale": table.order.scale,
        "recipe": asdict(table.order.options),
        "text": table.facts,
        "runs": [asdict(run) for run in table.runs],
        "missing": list(table.missing),
        "means": {
            name: {role: asdict(found) for role in KINDS if (found := table.scores.mean(role, name)) is not None}
            for name in table.benchmarks
        },
        "differences": [asdict(each) for each in differences(table.scores)],
        "reading": reading(table.scores),
        "alike": {" and ".join(pair): rhos for pair, rhos in table.alike.items()},
        "paper": {
            "table2": {name: asdict(row) for name, row in paper.TABLE_2.items()},
            "table4": {" and ".join(pair): rho for pair, rho in paper.TABLE_4["word2vec"].items()},
        },
    }


def write(table: Table2, folder: Path) -> list[Path]:
    """Write STEM.md, .json, .html and the picture; returns their paths."""
    return write_files(folder / STEM, title(table), list(_parts(table)), as_dict(table))


def _missing(table: Table2) -> list[str]:
    return [f"not there yet: {', '.join(table.missing)}"] if table.missing else []


def _parts(table: Table2) -> Iterator[Part]:
    tools = ", ".join(f"{name} {version}" for name, version in versions().items())
    yield Text(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; {tools}. Command: {table.order.command}", note=True)
    for line in _missing(table):
        yield Text(line.capitalize() + ".")
    if not table.runs:
        return
    yield score_table(table.scores)
    yield Text(KEY, note=True)
    yield Heading("Reading")
    yield Bullets(reading(table.scores))
    yield Picture(
        "table2", "Spearman's rho of each benchmark for the three kinds of rows", lambda: draw_scores(table.scores)
    )
    yield from _alike(table)
    yield Heading("Every run")
    yield _runs(table)
    yield Heading("How it was trained")
    yield Text(METHOD)
    yield Text(_text_words(table))
    yield Table(
        ["key", "value"], [(f"word2vec.{key}", str(value)) for key, value in asdict(table.order.options).items()], "ll"
    )


def _alike(table: Table2) -> Iterator[Part]:
    """Table 4's column for word2vec."""
    if not any(table.alike.values()):
        return
    yield Heading("Which rows are alike (Table 4, word2vec)")
    rows = [
        [
            f"{first}, {second}",
            ", ".join(f"{rho:.3f}" for rho in found),
            f"{paper.TABLE_4['word2vec'][first, second]:.2f}",
        ]
        for (first, second), found in table.alike.items()
    ]
    yield Table(["matrices", "rho, seed by seed", "paper"], rows, "lll")
    yield Text(
        f"Spearman's rho of the cosine similarities of all pairs of the {ALIKE_WORDS:,} most frequent words, or of all "
        "words where there are fewer.",
        note=True,
    )


def _runs(table: Table2) -> Table:
    header = ["run", "parameters", *table.benchmarks, "wall clock", "processor time", "words/s"]
    rows = []
    for run in table.runs:
        for role, agreements in run.agreements.items():
            scores = ["-" if (rho := agreements[name].rho) is None else f"{rho:.3f}" for name in table.benchmarks]
            times = [duration(run.seconds), duration(run.cpu_seconds), f"{run.words_per_second:,.0f}"]
            rows.append([f"{run.name}, {role}", f"{run.num_parameters:,}", *scores, *times])
    return Table(header, rows)


def _text_words(table: Table2) -> str:
    facts = table.facts
    files = "; ".join(f"{file['name']} (SHA-256 {file['sha256']})" for file in facts["files"])
    return (
        f"Text: {facts['words']:,} words, {facts['kept']:,} of them of the {facts['types']:,} words that are there "
        f"{table.order.options.min_count} times or more. {files}"
    )
