"""Table 7 as text, Markdown, JSON and a page with a picture for each text."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator
from pathlib import Path

from nmt.report.document import TERMINAL_WIDTH, Bullets, Heading, Part, Picture, Table, Text
from nmt.report.tables import text_table
from nmt.report.writing import write_files
from nmt.reproduce.language.paper import SPLITS, TABLE_6, TABLE_7
from nmt.reproduce.language.report import (
    cost_table,
    language_reading,
    learning_curves,
    main_table,
    protocol,
    run_table,
    with_margin,
)
from nmt.reproduce.language.results import LanguageResults
from nmt.reproduce.table7 import Table7

STEM = "table7"
KEY = "± half of the 95% interval over seeds, by Student's t. Paper: the figures that it prints."
STAND_IN = (
    "text8 has no validation text, in the paper as here: its curves are of the test text, which chooses nothing, since "
    "the weights are those of the last epoch and the rate falls by a fixed plan"
)


def table7_title(table: Table7) -> str:
    """The heading of the report."""
    return f"Table 7: small models on other texts, scale {table.scale}"


def table7_text(table: Table7) -> str:
    """For a terminal."""
    shown = text_by_text(table)
    lines = [text_table(shown.header, shown.rows)]
    said = [f"{results.name}: {line}" for results in table.texts.values() for line in language_reading(results)]
    said += [f"{results.name}: not there yet: {', '.join(results.missing)}" for results in unfinished(table)]
    lines += [
        textwrap.fill(f"- {line}", TERMINAL_WIDTH, subsequent_indent="  ") for line in [*said, *open_texts(table)]
    ]
    return "\n".join(lines)


def write_table7(table: Table7, folder: Path) -> list[Path]:
    """Write the files; returns their paths."""
    return write_files(folder / STEM, table7_title(table), list(_parts(table)), table.as_dict())


def text_by_text(table: Table7) -> Table:
    """The paper's layout: a row for each text and split, of each model ours and the paper's."""
    names = [row.name for row in TABLE_6.rows]
    rows = []
    for key, text in TABLE_7.items():
        results = table.texts.get(key)
        ours = {row.key: row.perplexity for row in results.rows} if results else {}
        for number, split in enumerate(SPLITS):
            if split not in text.table().splits:
                continue
            row = [f"{text.name}, {split}"]
            for each in TABLE_6.rows:
                found = ours.get(each.key, {}).get(split)
                row += ["-" if found is None else with_margin(found), f"{text.perplexity[each.key][number]:.1f}"]
            rows.append(row)
    return Table(["text", *(cell for name in names for cell in (name, "paper"))], rows)


def unfinished(table: Table7) -> list[LanguageResults]:
    """The texts of which some models are missing."""
    return [results for results in table.texts.values() if results.missing]


def open_texts(table: Table7) -> list[str]:
    """What is left open, and how it is had."""
    return [
        f"{TABLE_7[key].name}: left open, its text is not there (nmt-data fetch {key} --corpus corpus/{key}, then "
        f"--corpus {key}=corpus/{key})"
        for key in table.absent
    ]


def _parts(table: Table7) -> Iterator[Part]:
    yield Text(table.made.line, note=True)
    yield text_by_text(table)
    yield Text(KEY, note=True)
    if table.absent:
        yield Bullets(open_texts(table))
    for key, results in table.texts.items():
        yield Heading(results.name)
        yield from _text(key, results)


def _text(key: str, results: LanguageResults) -> Iterator[Part]:
    if results.missing:
        yield Text(f"Not finished: {', '.join(results.missing)} are not there yet.")
    if not results.rows:
        return
    yield main_table(results)
    yield Bullets(language_reading(results))
    yield Bullets([*protocol(results), *([] if "valid" in results.text["words"] else [STAND_IN]), _words(results)])
    yield Picture(
        f"curves-{key}", f"Validation perplexity on {results.name}", functools.partial(learning_curves, results)
    )
    yield Heading(f"{results.name}: what training cost", 3)
    yield cost_table(results)
    yield Heading(f"{results.name}: every run", 3)
    yield run_table(results)


def _words(results: LanguageResults) -> str:
    counts = ", ".join(f"{split} {count:,}" for split, count in results.text["words"].items())
    return f"words: {counts}; {results.text['vocabulary']:,} rows in the vocabulary"
